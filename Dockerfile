# docker build -t sluice .
# docker run --rm -p 8080:8080 -v sluice:/var/lib/sluice sluice serve --simulator --listen 0.0.0.0:8080 \
#     --set auth=none --set hosts=gateway.example.com

FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        build-essential cmake ninja-build pkg-config dpkg-dev patch ca-certificates \
        libuv1-dev node-llhttp libnghttp2-dev android-libboringssl-dev libcjson-dev libyaml-dev \
        libsqlite3-dev libcmocka-dev python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN ./dev package

FROM debian:12-slim
RUN --mount=type=bind,from=build,source=/src/build/package,target=/package \
    apt-get update && apt-get install -y --no-install-recommends /package/*.deb \
    && rm -rf /var/lib/apt/lists/*
ENV SLUICE_STATE=/var/lib/sluice
VOLUME /var/lib/sluice
USER sluice
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/sluice"]
CMD ["serve", "--listen", "0.0.0.0:8080", "--admin", "0.0.0.0:8081"]
