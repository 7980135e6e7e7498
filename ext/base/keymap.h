/* Keys of users and items, INTEGER or TEXT as the tables hold them, and the dense ids 0 .. n-1
 * given to them.
 *
 * Ids are given in order of arrival; keymap_sort renumbers them in key order (integers first,
 * ascending; then texts by their bytes), so that nothing depends on the order of a scan. */
#ifndef REC_KEYMAP_H
#define REC_KEYMAP_H

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "status.h"

typedef struct Key {
    const char *text; /* NULL: the key is the integer */
    size_t len;
    int64_t integer;
} Key;

typedef struct KeyMap KeyMap;

KeyMap *keymap_new(void);
void keymap_free(KeyMap *map);
int32_t keymap_count(const KeyMap *map);
size_t keymap_memory(const KeyMap *map);

/* The id of key, added when it is new. At most 2^31 - 2 keys. */
Status keymap_add(KeyMap *map, Key key, int32_t *out_id, Err *err);

/* The id of key, or -1. */
int32_t keymap_find(const KeyMap *map, Key key);

/* The key with the id; valid until the map changes. */
Key keymap_key(const KeyMap *map, int32_t id);

/* -1, 0, 1: integers before texts. */
int key_compare(Key a, Key b);

/* Renumber in key order. *out_new_id, of keymap_count entries, maps old ids to new ones; free with
 * mem_free. */
Status keymap_sort(KeyMap *map, int32_t **out_new_id, Err *err);

/* Stored form: count, then per key a tag (0 integer, 1 text) and the value, in key order. */
void keymap_write(const KeyMap *map, Bytes *out);
/* Reads it back; keys that are not in ascending order are ST_CORRUPT. */
Status keymap_read(Reader *in, KeyMap **out, Err *err);

/* XXH3 over the seed, a byte for the type, and the key: the same everywhere. 0: no memory. */
int key_bucket_hash(Key key, uint64_t seed, uint64_t *out);

/* Append a key as JSON. */
void key_json(Key key, Bytes *out);

#endif
