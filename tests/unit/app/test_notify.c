#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/notify.h"

/* A datagram socket in the abstract namespace, as systemd may use; its name is the kernel's. */
static int manager(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(address);
    char name[sizeof(address.sun_path) + 1];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    size_t len = size - offsetof(struct sockaddr_un, sun_path);
    memcpy(name, address.sun_path, len);
    name[0] = '@';
    name[len] = '\0';
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static void receive(int fd, char *text, size_t size) {
    ssize_t n = recv(fd, text, size - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
}

static void test_messages(void **state) {
    char text[128];
    unsigned long long usec;
    int fd = manager();
    (void)state;
    sl_notify("READY=1");
    receive(fd, text, sizeof(text));
    assert_string_equal(text, "READY=1");
    sl_notify("RELOADING=1");
    receive(fd, text, sizeof(text));
    assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
    assert_true(usec > 0);
    close(fd);
    sl_notify("STOPPING=1"); /* nobody there any more: nothing happens */
}

static void test_no_manager(void **state) {
    static const char *const names[] = {"", "x", "relative", "/nowhere/socket"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        sl_notify("READY=1");
    }
    unsetenv("NOTIFY_SOCKET");
    sl_notify("READY=1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_no_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
