/* rec_pseudonym(key, secret): a key's stand-in, the same for the same secret. */
#include <sodium.h>
#include <string.h>

#include "../../base/bytes.h"
#include "../host/parts.h"
#include "../host/values.h"

enum { DIGEST = 16, LEAST_SECRET = 16 };

static Status take_secret(sqlite3_value *value, unsigned char *out, size_t *out_len, Err *err) {
    int type = sqlite3_value_type(value);
    const void *data = type == SQLITE_BLOB ? sqlite3_value_blob(value) : sqlite3_value_text(value);
    size_t len = (size_t)sqlite3_value_bytes(value);
    if ((type != SQLITE_BLOB && type != SQLITE_TEXT) || !data || len < LEAST_SECRET)
        return fail(
            err, ST_BADARG, "secret must be a BLOB or a TEXT of %d bytes or more", LEAST_SECRET);
    *out_len = len;
    if (len <= crypto_generichash_KEYBYTES_MAX) {
        memcpy(out, data, len);
    } else { /* as BLAKE2b does with what is longer than its key: hashed first */
        *out_len = crypto_generichash_KEYBYTES_MAX;
        crypto_generichash(out, *out_len, data, len, NULL, 0);
    }
    return ST_OK;
}

/* The key as bytes: "i" and its digits, or "t" and the text, so that 17 and '17' differ. */
static Status digest(sqlite3_value **argv, unsigned char out[DIGEST], Err *err) {
    unsigned char secret[crypto_generichash_KEYBYTES_MAX];
    size_t len = 0;
    char buffer[KEY_BUFFER];
    Key key;
    Bytes message = {0};
    if (sodium_init() < 0) return fail(err, ST_HOST, "libsodium does not start");
    TRY(take_secret(argv[1], secret, &len, err));
    if (!value_key(argv[0], AFFINITY_NONE, buffer, &key)) return value_no_key("key", argv[0], err);
    if (key.text) {
        bytes_append(&message, "t", 1);
        bytes_append(&message, key.text, key.len);
    } else {
        bytes_format(&message, "i%lld", (long long)key.integer);
    }
    if (!message.failed) crypto_generichash(out, DIGEST, message.data, message.len, secret, len);
    sodium_memzero(secret, sizeof secret);
    Status status = message.failed ? fail_nomem(err, "the key") : ST_OK;
    bytes_clear(&message);
    return status;
}

static void pseudonym(sqlite3_context *context, int argc, sqlite3_value **argv) {
    unsigned char bytes[DIGEST];
    char text[2 * DIGEST + 1];
    Err err = {0};
    (void)argc;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
    Status status = digest(argv, bytes, &err);
    if (status != ST_OK) {
        sql_function_error(context, "rec_pseudonym", status, &err);
        return;
    }
    sodium_bin2hex(text, sizeof text, bytes, sizeof bytes);
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

int register_pseudonym(sqlite3 *db) {
    return sqlite3_create_function_v2(db, "rec_pseudonym", 2,
        SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL, pseudonym, NULL, NULL, NULL);
}
