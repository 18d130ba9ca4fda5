/* What went wrong, how far it came, and a sentence for people. */
#include "io/fetch_impl.h"

#define BY_PROGRESS SL_FETCH_DONE

struct meaning {
    CURLcode code;
    int error;
    enum sl_fetch_phase phase; /* BY_PROGRESS: as far as the fetch came */
    const char *why;           /* NULL: curl's own words */
};

static const struct meaning meanings[] = {
    {CURLE_COULDNT_RESOLVE_HOST, SL_E_IO, SL_FETCH_RESOLVE, NULL},
    {CURLE_COULDNT_RESOLVE_PROXY, SL_E_IO, SL_FETCH_RESOLVE, NULL},
    {CURLE_COULDNT_CONNECT, SL_E_IO, SL_FETCH_CONNECT, NULL},
    {CURLE_INTERFACE_FAILED, SL_E_IO, SL_FETCH_CONNECT, NULL},
    {CURLE_PROXY, SL_E_IO, SL_FETCH_CONNECT, NULL},
    {CURLE_OPERATION_TIMEDOUT, SL_E_TIMEOUT, BY_PROGRESS, NULL},
    {CURLE_SSL_CONNECT_ERROR, SL_E_IO, SL_FETCH_TLS, NULL},
    {CURLE_SSL_CIPHER, SL_E_IO, SL_FETCH_TLS, NULL},
    {CURLE_PEER_FAILED_VERIFICATION, SL_E_DENIED, SL_FETCH_TLS, NULL},
    {CURLE_SSL_ISSUER_ERROR, SL_E_DENIED, SL_FETCH_TLS, NULL},
    {CURLE_SSL_INVALIDCERTSTATUS, SL_E_DENIED, SL_FETCH_TLS, NULL},
    {CURLE_SSL_CACERT_BADFILE, SL_E_DENIED, SL_FETCH_TLS, NULL},
    {CURLE_SEND_ERROR, SL_E_IO, BY_PROGRESS, NULL},
    {CURLE_RECV_ERROR, SL_E_IO, BY_PROGRESS, NULL},
    {CURLE_GOT_NOTHING, SL_E_IO, SL_FETCH_HEAD,
     "the server closed the connection without an answer"},
    {CURLE_PARTIAL_FILE, SL_E_EOF, SL_FETCH_BODY, "the response body was cut short"},
    {CURLE_WEIRD_SERVER_REPLY, SL_E_PROTOCOL, BY_PROGRESS, NULL},
    {CURLE_UNSUPPORTED_PROTOCOL, SL_E_PROTOCOL, BY_PROGRESS, "the answer is not HTTP"},
    {CURLE_BAD_CONTENT_ENCODING, SL_E_PROTOCOL, BY_PROGRESS, NULL},
    {CURLE_OUT_OF_MEMORY, SL_E_NOMEM, BY_PROGRESS, "out of memory"},
};

enum sl_fetch_phase sl_fetch_progress(const struct sl_fetch *f) {
    if (f->retried)
        return SL_FETCH_SEND;
    if (f->phase == SL_FETCH_CONNECT) {
        curl_off_t connected = 0;
        curl_easy_getinfo(f->easy, CURLINFO_CONNECT_TIME_T, &connected);
        return connected > 0 ? SL_FETCH_TLS : SL_FETCH_CONNECT;
    }
    if (f->phase == SL_FETCH_SEND) {
        curl_off_t body = 0;
        long head = 0;
        curl_easy_getinfo(f->easy, CURLINFO_SIZE_UPLOAD_T, &body);
        curl_easy_getinfo(f->easy, CURLINFO_REQUEST_SIZE, &head);
        return head > 0 && (uint64_t)body >= f->body_len ? SL_FETCH_HEAD : SL_FETCH_SEND;
    }
    return f->phase;
}

static const struct meaning *meaning_of(CURLcode code) {
    static const struct meaning other = {CURLE_OK, SL_E_IO, BY_PROGRESS, NULL};
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].code == code)
            return &meanings[i];
    return &other;
}

void sl_fetch_refuse(struct sl_fetch *f, int error, const char *why) {
    f->refused = error;
    f->result = (struct sl_fetch_result){error, sl_fetch_progress(f), why};
}

void sl_fetch_explain(struct sl_fetch *f, CURLcode code) {
    if (f->refused)
        return; /* said already */
    if (f->retried) {
        f->result = (struct sl_fetch_result){
            SL_E_IO, SL_FETCH_SEND, "the kept-alive connection was closed as the request was sent"};
        return;
    }
    if (code == CURLE_OK) {
        f->result =
            f->phase == SL_FETCH_BODY
                ? (struct sl_fetch_result){SL_OK, SL_FETCH_DONE, NULL}
                : (struct sl_fetch_result){SL_E_PROTOCOL, SL_FETCH_HEAD, "there was no answer"};
        return;
    }
    const struct meaning *m = meaning_of(code);
    struct sl_fetch_result *r = &f->result;
    r->error = m->error;
    r->phase = m->phase == BY_PROGRESS ? sl_fetch_progress(f) : m->phase;
    r->why = m->why ? m->why : f->why[0] ? f->why : curl_easy_strerror(code);
    if (code == CURLE_RECV_ERROR && r->phase == SL_FETCH_BODY)
        r->error = SL_E_EOF; /* a reset in the body cuts it short as a close does */
}
