/*
 * Preloaded into a program under test: it asks this for addresses. One name is answered as the file
 * $SLUICE_TEST_NAMES says at the time (it is there: 127.0.0.1, missing: no such name, silent: no
 * answer until it says otherwise); all others go to the system. The system's own resolver would be
 * asked over the network, and its settings are no test's to change.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NAME "upstream.sluice.test"

typedef int (*lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* The first letter of what the file says. */
static char mode(void) {
    const char *path = getenv("SLUICE_TEST_NAMES");
    char letter = 'm';
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        if (read(fd, &letter, 1) != 1)
            letter = 'm';
        close(fd);
    }
    return letter;
}

int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict out) {
    static const struct timespec tick = {0, 10000000};
    lookup system_lookup;
    *(void **)&system_lookup = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!node || strcmp(node, NAME) != 0)
        return system_lookup(node, service, hints, out);
    while (mode() == 's')
        nanosleep(&tick, NULL);
    return mode() == 't' ? system_lookup("127.0.0.1", service, hints, out) : EAI_NONAME;
}
