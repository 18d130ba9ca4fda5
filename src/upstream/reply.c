/*
 * The error's name stands in x-amzn-ErrorType, with a URL behind a ':' or a namespace before a '#'.
 * Which names mean what: AWS's "Common errors" page, and the lists of the JavaScript SDK
 * (@smithy/service-error-classification: CLOCK_SKEW_ERROR_CODES).
 */
#include "upstream/reply.h"

static const struct {
    struct sl_slice name;
    enum sl_reply_hint hint;
} names[] = {
    {SL_LIT("ExpiredTokenException"), SL_REPLY_CREDENTIALS},
    {SL_LIT("ExpiredToken"), SL_REPLY_CREDENTIALS},
    {SL_LIT("UnrecognizedClientException"), SL_REPLY_CREDENTIALS},
    {SL_LIT("UnrecognizedClient"), SL_REPLY_CREDENTIALS},
    {SL_LIT("InvalidClientTokenId"), SL_REPLY_CREDENTIALS},
    {SL_LIT("InvalidSignatureException"), SL_REPLY_SIGNATURE},
    {SL_LIT("SignatureDoesNotMatch"), SL_REPLY_SIGNATURE},
    {SL_LIT("RequestExpired"), SL_REPLY_SIGNATURE},
    {SL_LIT("RequestTimeTooSkewed"), SL_REPLY_SIGNATURE},
    {SL_LIT("RequestInTheFuture"), SL_REPLY_SIGNATURE},
};

static struct sl_slice find(const struct sl_fetch_head *head, struct sl_slice name) {
    for (size_t i = 0; i < head->header_count; i++)
        if (sl_slice_ieq(head->headers[i].name, name))
            return head->headers[i].value;
    return SL_EMPTY;
}

enum sl_reply_hint sl_reply_hint(const struct sl_fetch_head *head) {
    if (head->status != 400 && head->status != 401 && head->status != 403)
        return SL_REPLY_NONE;
    struct sl_slice type = find(head, SL_LIT("x-amzn-errortype"));
    type = sl_slice_head(type, sl_slice_find(type, ':'));
    size_t hash = sl_slice_find(type, '#');
    type = hash < type.len ? sl_slice_skip(type, hash + 1) : type;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (sl_slice_eq(type, names[i].name))
            return names[i].hint;
    return SL_REPLY_NONE;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", the one form that senders may use (RFC 9110 5.6.7). */
bool sl_reply_date(const struct sl_fetch_head *head, int64_t *wall_ms) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct sl_slice date = find(head, SL_LIT("date"));
    if (date.len != 29 || !sl_slice_ends(date, SL_LIT(" GMT")))
        return false;
    size_t month = sl_slice_search(sl_slice_str(months), sl_slice_of(date.ptr + 8, 3));
    if (month % 3 != 0 || month >= sizeof(months) - 1)
        return false;
    month = month / 3 + 1;
    char iso[] = "YYYY-MM-DDThh:mm:ssZ";
    memcpy(iso, date.ptr + 12, 4);
    iso[5] = (char)('0' + month / 10);
    iso[6] = (char)('0' + month % 10);
    memcpy(iso + 8, date.ptr + 5, 2);
    memcpy(iso + 11, date.ptr + 17, 8);
    return sl_clock_parse_iso(iso, sizeof(iso) - 1, wall_ms) == SL_OK;
}
