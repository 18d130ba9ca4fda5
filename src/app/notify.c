#include "app/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sluice/base/clock.h"

void sl_notify(const char *state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[128];
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; /* the abstract namespace of Linux */
    int n = strcmp(state, "RELOADING=1") == 0
                ? snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                           sl_clock_monotonic() / SL_NS_PER_US)
                : snprintf(text, sizeof(text), "%s", state);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    (void)!sendto(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT,
                  (const struct sockaddr *)&address, size);
    close(fd);
}
