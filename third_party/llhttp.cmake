# llhttp: Debian's node-llhttp ships the generated C sources and the header.
set(LLHTTP_DIR /usr/share/llhttp CACHE PATH "llhttp's C sources")
set(LLHTTP_INCLUDE /usr/share/include/llhttp CACHE PATH "llhttp.h")
if(NOT EXISTS ${LLHTTP_DIR}/llhttp.c)
    message(FATAL_ERROR "llhttp not found in ${LLHTTP_DIR}: run ./dev build, or apt-get install node-llhttp")
endif()
add_library(llhttp STATIC ${LLHTTP_DIR}/llhttp.c ${LLHTTP_DIR}/api.c ${LLHTTP_DIR}/http.c)
target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE})
# Without strict mode any two bytes pass for the line end behind a chunk: a gap for request smuggling.
target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
target_compile_options(llhttp PRIVATE -w -O3)
add_library(Llhttp::llhttp ALIAS llhttp)
