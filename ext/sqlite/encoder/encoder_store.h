/* Text encoders in a database: their rows, and the loaded ones, which all connections and files of
 * the process share by their content.
 *
 *     NAME_config(key, value)     format, storage, length; sha256 once one is loaded
 *     NAME_weights(chunk, data)   the stored form (text_encoder.h) in pieces of 1 MiB */
#ifndef REC_ENCODER_STORE_H
#define REC_ENCODER_STORE_H

#include "../../base/options.h"
#include "../../nn/encoder_files.h"
#include "../host/shadow.h"

extern const ShadowSet encoder_shadow;

/* Options of CREATE. */
typedef struct EncoderOptions {
    int64_t storage; /* PackedKind */
    int64_t length;
} EncoderOptions;
extern const OptSpec encoder_options[];

/* The row of config: sqlite3_malloc'ed, NULL where there is none. */
Status encoder_config(const ShadowOwner *owner, const char *key, char **out, Err *err);

/* What the rows say without all of them being read; *is_there is 0 where nothing is loaded. */
typedef struct EncoderFacts {
    BertShape shape;
    char *name, *sha256; /* mem_free, sqlite3_free */
    sqlite3_int64 bytes;
} EncoderFacts;
Status encoder_describe(const ShadowOwner *owner, EncoderFacts *out, int *is_there, Err *err);
void encoder_facts_clear(EncoderFacts *facts);

/* Put a stored form in the place of what is there. */
Status encoder_put(const ShadowOwner *owner, const Bytes *stored, const char *sha256, Err *err);

/* All rows, past the process's copy; checked. The caller frees it. */
Status encoder_read(const ShadowOwner *owner, TextEncoder **out, Err *err);

/* The encoder, to be cache_release'd. */
Status encoder_take(const ShadowOwner *owner, TextEncoder **out, Err *err);
/* The same by a name that "schema.name" may qualify. */
Status encoder_find(sqlite3 *db, const char *name, TextEncoder **out, Err *err);

#endif
