#include "app/activation.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* "[v6]:port" and a comma. */
#define ADDRESS_MAX (INET6_ADDRSTRLEN + 9)

static uint64_t number_of(const char *variable) {
    const char *text = getenv(variable);
    uint64_t n = 0;
    return text && sl_slice_u64(sl_slice_str(text), &n) ? n : 0;
}

/* The address a TCP socket is bound to, as `listen` is written; 0 characters: it is none. */
static int describe(int fd, char *out, size_t size) {
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address), kind_len = sizeof(int);
    char ip[INET6_ADDRSTRLEN];
    int kind = 0;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &kind_len) != 0 || kind != SOCK_STREAM)
        return 0;
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)&address;
        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip));
        return snprintf(out, size, "%s:%u", ip, (unsigned)ntohs(v4->sin_port));
    }
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)&address;
        inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip));
        return snprintf(out, size, "[%s]:%u", ip, (unsigned)ntohs(v6->sin6_port));
    }
    return 0;
}

static int take(struct sl_cli *cli, size_t count, char *why, size_t why_size) {
    static char listen[SL_ACTIVATION_MAX * ADDRESS_MAX]; /* as long as the configuration may ask */
    size_t len = 0;
    if (count > SL_ACTIVATION_MAX || cli->source.override_count == SL_CLI_OVERRIDES) {
        snprintf(why, why_size, "LISTEN_FDS: at most %d sockets", SL_ACTIVATION_MAX);
        return SL_E_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        int fd = SL_ACTIVATION_FROM + (int)i;
        int n = describe(fd, listen + len, sizeof(listen) - len - 1);
        if (n == 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
            snprintf(why, why_size, "LISTEN_FDS: descriptor %d is no TCP socket", fd);
            return SL_E_INVALID;
        }
        len += (size_t)n;
        listen[len++] = ',';
    }
    cli->overrides[cli->source.override_count++] =
        (struct sl_config_override){"LISTEN_FDS", SL_LIT("listen"), sl_slice_of(listen, len - 1)};
    cli->source.sockets = count;
    return SL_OK;
}

int sl_activation_take(struct sl_cli *cli, char *why, size_t why_size) {
    size_t count =
        number_of("LISTEN_PID") == (uint64_t)getpid() ? (size_t)number_of("LISTEN_FDS") : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return count ? take(cli, count, why, why_size) : SL_OK;
}
