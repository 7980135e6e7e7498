#include "keymap.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "random.h"

enum { IS_INTEGER = -1 };

typedef struct Entry {
    int64_t value; /* the integer, or the text's offset in the arena */
    int64_t len;   /* bytes of text, or IS_INTEGER */
} Entry;

struct KeyMap {
    Entry *entry;
    int32_t count;
    int32_t capacity;
    char *arena;
    size_t arena_len;
    size_t arena_capacity;
    int32_t *slot;  /* open addressing: id + 1, or 0 for empty */
    size_t n_slots; /* a power of two, at least twice count */
    uint64_t secret;
};

KeyMap *keymap_new(void) {
    KeyMap *map = mem_zeros(1, sizeof *map);
    if (map) map->secret = process_secret();
    return map;
}

void keymap_free(KeyMap *map) {
    if (!map) return;
    mem_free(map->entry);
    mem_free(map->arena);
    mem_free(map->slot);
    mem_free(map);
}

int32_t keymap_count(const KeyMap *map) { return map->count; }

size_t keymap_memory(const KeyMap *map) {
    return (size_t)map->capacity * sizeof(Entry) + map->arena_capacity +
        map->n_slots * sizeof(int32_t);
}

Key keymap_key(const KeyMap *map, int32_t id) {
    const Entry *entry = &map->entry[id];
    if (entry->len == IS_INTEGER) return (Key){.integer = entry->value};
    return (Key){.text = map->arena + entry->value, .len = (size_t)entry->len};
}

int key_compare(Key a, Key b) {
    if (!a.text && !b.text) return (a.integer > b.integer) - (a.integer < b.integer);
    if (!a.text || !b.text) return a.text ? 1 : -1;
    int order = memcmp(a.text, b.text, a.len < b.len ? a.len : b.len);
    if (order == 0) order = (a.len > b.len) - (a.len < b.len);
    return order < 0 ? -1 : order > 0;
}

static uint64_t mix(uint64_t h) {
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ (h >> 33);
}

/* With a secret: keys chosen to fall on one slot would make a map quadratic. Ids do not depend on
 * it. */
static uint64_t key_hash(const KeyMap *map, Key key) {
    if (!key.text) return mix((uint64_t)key.integer + map->secret);
    uint64_t h = map->secret ^ key.len;
    size_t i = 0;
    for (; i + 8 <= key.len; i += 8) {
        uint64_t word;
        memcpy(&word, key.text + i, 8);
        h = mix(h ^ word);
    }
    for (; i < key.len; i++) h = (h ^ (unsigned char)key.text[i]) * 0x100000001b3u;
    return mix(h);
}

/* The slot that holds key, or the empty one where it belongs. */
static size_t find_slot(const KeyMap *map, Key key) {
    size_t mask = map->n_slots - 1;
    size_t at = key_hash(map, key) & mask;
    while (map->slot[at] && key_compare(keymap_key(map, map->slot[at] - 1), key) != 0)
        at = (at + 1) & mask;
    return at;
}

int32_t keymap_find(const KeyMap *map, Key key) {
    return map->n_slots ? map->slot[find_slot(map, key)] - 1 : -1;
}

static int rehash(KeyMap *map, size_t n_slots) {
    int32_t *slot = mem_zeros(n_slots, sizeof *slot);
    if (!slot) return 0;
    mem_free(map->slot);
    map->slot = slot;
    map->n_slots = n_slots;
    for (int32_t id = 0; id < map->count; id++)
        map->slot[find_slot(map, keymap_key(map, id))] = id + 1;
    return 1;
}

static int reserve_entry(KeyMap *map) {
    if (map->count < map->capacity) return 1;
    int64_t capacity = (int64_t)map->capacity + map->capacity / 2 + 16;
    if (capacity > INT32_MAX - 1) capacity = INT32_MAX - 1;
    if (capacity <= map->count) return 0;
    Entry *entry = mem_resize(map->entry, (size_t)capacity, sizeof *entry);
    if (!entry) return 0;
    map->entry = entry;
    map->capacity = (int32_t)capacity;
    return 1;
}

/* Also for an empty text: its Key must have a pointer, without one it would read as the integer
 * 0. */
static int reserve_arena(KeyMap *map, size_t extra) {
    if (map->arena && extra <= map->arena_capacity - map->arena_len) return 1;
    size_t capacity = map->arena_capacity + map->arena_capacity / 2 + extra + 256;
    char *arena = mem_resize(map->arena, capacity, 1);
    if (!arena) return 0;
    map->arena = arena;
    map->arena_capacity = capacity;
    return 1;
}

Status keymap_add(KeyMap *map, Key key, int32_t *out_id, Err *err) {
    *out_id = keymap_find(map, key);
    if (*out_id >= 0) return ST_OK;
    if ((size_t)map->count * 2 >= map->n_slots &&
        !rehash(map, map->n_slots ? map->n_slots * 2 : 64))
        return fail_nomem(err, "the dictionary of keys");
    if (!reserve_entry(map) || (key.text && !reserve_arena(map, key.len)))
        return fail_nomem(err, "the dictionary of keys");
    Entry *entry = &map->entry[map->count];
    if (key.text) {
        *entry = (Entry){(int64_t)map->arena_len, (int64_t)key.len};
        memcpy(map->arena + map->arena_len, key.text, key.len);
        map->arena_len += key.len;
    } else {
        *entry = (Entry){key.integer, IS_INTEGER};
    }
    *out_id = map->count++;
    map->slot[find_slot(map, key)] = *out_id + 1;
    return ST_OK;
}

/* Bottom-up merge sort of ids by key: no globals (qsort's comparison has no context), stable, n log
 * n. */
static void merge_sort_ids(const KeyMap *map, int32_t *ids, int32_t *scratch, size_t n) {
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low < n; low += 2 * width) {
            size_t mid = low + width < n ? low + width : n;
            size_t high = low + 2 * width < n ? low + 2 * width : n;
            for (size_t i = low, j = mid, out = low; out < high; out++) {
                int take_left = i < mid &&
                    (j >= high ||
                        key_compare(keymap_key(map, ids[i]), keymap_key(map, ids[j])) <= 0);
                scratch[out] = take_left ? ids[i++] : ids[j++];
            }
        }
        memcpy(ids, scratch, n * sizeof *ids);
    }
}

Status keymap_sort(KeyMap *map, int32_t **out_new_id, Err *err) {
    size_t n = (size_t)map->count;
    int32_t *order = mem_array(n, sizeof *order);
    int32_t *new_id = mem_array(n, sizeof *new_id);
    Entry *entry = mem_array((size_t)map->capacity, sizeof *entry);
    *out_new_id = NULL;
    if (!order || !new_id || !entry) {
        mem_free(order);
        mem_free(new_id);
        mem_free(entry);
        return fail_nomem(err, "sorting the keys");
    }
    for (size_t i = 0; i < n; i++) order[i] = (int32_t)i;
    merge_sort_ids(map, order, new_id, n);
    for (size_t i = 0; i < n; i++) {
        entry[i] = map->entry[order[i]];
        new_id[order[i]] = (int32_t)i;
    }
    mem_free(map->entry);
    map->entry = entry;
    for (size_t at = 0; at < map->n_slots; at++)
        if (map->slot[at]) map->slot[at] = new_id[map->slot[at] - 1] + 1;
    mem_free(order);
    *out_new_id = new_id;
    return ST_OK;
}

void keymap_write(const KeyMap *map, Bytes *out) {
    bytes_u32(out, (uint32_t)map->count);
    for (int32_t id = 0; id < map->count; id++) {
        Key key = keymap_key(map, id);
        uint8_t tag = key.text != NULL;
        bytes_append(out, &tag, 1);
        if (key.text) {
            bytes_u32(out, (uint32_t)key.len);
            bytes_append(out, key.text, key.len);
        } else {
            bytes_u64(out, (uint64_t)key.integer);
        }
    }
}

static Key read_key(Reader *in) {
    Key key = {0};
    const uint8_t *tag = read_block(in, 1, 1);
    if (tag && *tag == 0) key.integer = (int64_t)read_u64(in);
    else if (tag && *tag == 1) key.text = read_text(in, &key.len);
    else in->failed = 1;
    return key;
}

Status keymap_read(Reader *in, KeyMap **out, Err *err) {
    uint32_t count = read_u32(in);
    KeyMap *map = keymap_new();
    Status status = map ? ST_OK : fail_nomem(err, "the dictionary of keys");
    Key before = {0};

    *out = NULL;
    for (uint32_t i = 0; i < count && status == ST_OK; i++) {
        int32_t id;
        Key key = read_key(in);
        if (in->failed || (i > 0 && key_compare(before, key) >= 0))
            status = fail(
                err, ST_CORRUPT, "dictionary of keys: entry %u of %u is malformed", i, count);
        else status = keymap_add(map, key, &id, err);
        before = key;
    }
    if (status != ST_OK) {
        keymap_free(map);
        return status;
    }
    *out = map;
    return ST_OK;
}

void key_json(Key key, Bytes *out) {
    if (key.text) bytes_json_string(out, key.text, key.len);
    else bytes_format(out, "%lld", (long long)key.integer);
}

int key_bucket_hash(Key key, uint64_t seed, uint64_t *out) {
    Bytes bytes = {0};
    uint8_t digest[16];
    bytes_u64(&bytes, seed);
    bytes_append(&bytes, key.text ? "t" : "i", 1);
    if (key.text) bytes_append(&bytes, key.text, key.len);
    else bytes_u64(&bytes, (uint64_t)key.integer);
    int done = !bytes.failed;
    if (done) {
        bytes_checksum(bytes.data, bytes.len, digest);
        Reader in = reader_of(digest, sizeof digest);
        *out = read_u64(&in);
    }
    bytes_clear(&bytes);
    return done;
}
