/* Self-signed certificates for tests, made on the spot: none can expire in the repository. */
#ifndef SLUICE_TESTS_CERTIFICATE_H
#define SLUICE_TESTS_CERTIFICATE_H

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
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

static inline void certificate_make(struct certificate *c, const char *name) {
    EVP_PKEY *pkey = EVP_PKEY_new();
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    assert_true(ec && EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(pkey, ec));
    X509 *x509 = X509_new();
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
    X509_set_pubkey(x509, pkey);
    X509_NAME *subject = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x509, subject);
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

static inline void certificate_remove(struct certificate *c) {
    unlink(c->cert_file);
    unlink(c->key_file);
}

#endif
