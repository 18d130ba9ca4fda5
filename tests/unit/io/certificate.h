/* Self-signed certificates for tests, made on the spot: none can expire in the repository. */
#ifndef SLUICE_TESTS_CERTIFICATE_H
#define SLUICE_TESTS_CERTIFICATE_H

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct certificate {
    char cert_file[64], key_file[64];
};

static inline FILE *certificate_file(char path[64]) {
    snprintf(path, 64, "/tmp/sluice-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    return file;
}

/* Clients look for the host there alone (RFC 9110 4.3.4). */
static inline void certificate_name_host(X509 *x509, const char *name) {
    char text[128];
    bool address = strspn(name, "0123456789.") == strlen(name);
    snprintf(text, sizeof(text), "%s:%s", address ? "IP" : "DNS", name);
    X509_EXTENSION *names = X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name, text);
    assert_true(names && X509_add_ext(x509, names, -1));
    X509_EXTENSION_free(names);
}

struct certificate_settings {
    const char *name;
    bool nameless; /* the host is in the subject only */
    bool expired;
};

static inline void certificate_make_with(struct certificate *c,
                                         struct certificate_settings settings) {
    const char *name = settings.name;
    EVP_PKEY *pkey = EVP_PKEY_new();
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    assert_true(ec && EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(pkey, ec));
    X509 *x509 = X509_new();
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), settings.expired ? -60 : 86400);
    X509_set_pubkey(x509, pkey);
    X509_NAME *subject = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x509, subject);
    if (!settings.nameless)
        certificate_name_host(x509, name);
    assert_true(X509_sign(x509, pkey, EVP_sha256()) > 0);

    FILE *file = certificate_file(c->cert_file);
    assert_true(PEM_write_X509(file, x509));
    fclose(file);
    file = certificate_file(c->key_file);
    assert_true(PEM_write_PrivateKey(file, pkey, NULL, NULL, 0, NULL, NULL));
    fclose(file);
    X509_free(x509);
    EVP_PKEY_free(pkey);
}

static inline void certificate_make(struct certificate *c, const char *name) {
    certificate_make_with(c, (struct certificate_settings){.name = name});
}

static inline void certificate_remove(struct certificate *c) {
    unlink(c->cert_file);
    unlink(c->key_file);
}

#endif
