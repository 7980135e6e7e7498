#include "encoder_files.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/json.h"
#include "../base/memory.h"
#include "../base/text.h"
#include "../math/kernels.h"

/* ---- files ---- */

/* Of the file's size. *out stays empty where there is no file and it is not needed. */
static Status read_file(const char *folder, const char *name, int is_needed, Bytes *out, Err *err) {
    char path[4096];
    uint8_t block[65536];
    size_t n;
    if (strlen(folder) + strlen(name) + 2 > sizeof path)
        return fail(err, ST_BADARG, "the folder's name is too long");
    text_format(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file && !is_needed && errno == ENOENT) return ST_OK;
    if (!file)
        return fail(err, ST_BADARG, "%s cannot be read in that folder: %s", name, strerror(errno));
    while ((n = fread(block, 1, sizeof block, file)) > 0 && !out->failed)
        bytes_append(out, block, n);
    int is_bad = ferror(file);
    fclose(file);
    if (is_bad) return fail(err, ST_BADARG, "%s cannot be read", name);
    return out->failed ? fail_nomem(err, "the encoder's files") : ST_OK;
}

static Status parse_json(const char *what, const void *text, size_t len, json_t **out, Err *err) {
    json_error_t error;
    *out = json_loadb(text, len, 0, &error);
    if (json_lacks_memory(*out, &error)) return fail_nomem(err, "the encoder's files");
    return *out ? ST_OK : fail(err, ST_BADARG, "%s is no JSON: line %d", what, error.line);
}

/* NULL without an error: there is no such file. */
static Status read_json(
    const char *folder, const char *name, int is_needed, json_t **out, Err *err) {
    Bytes text = {0};
    *out = NULL;
    Status status = read_file(folder, name, is_needed, &text, err);
    if (status == ST_OK && text.len) status = parse_json(name, text.data, text.len, out, err);
    bytes_clear(&text);
    return status;
}

/* ---- what kind of model it is ---- */

static Status take_count(json_t *config, const char *name, size_t *out, Err *err) {
    json_t *value = json_object_get(config, name);
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > INT32_MAX)
        return fail(err, ST_BADARG, "config.json: %s must be a number from 1", name);
    *out = (size_t)json_integer_value(value);
    return ST_OK;
}

/* The word of a member, where it is there, must be the one that we know. */
static Status want_word(json_t *config, const char *name, const char *known, Err *err) {
    const char *word = json_text(json_object_get(config, name));
    return !word || strcmp(word, known) == 0
        ? ST_OK
        : fail(err, ST_BADARG, "config.json: %s is %.60s (%s)", name, word, known);
}

static Status take_config(json_t *config, BertShape *out, Err *err) {
    json_t *epsilon = json_object_get(config, "layer_norm_eps");
    TRY(want_word(config, "model_type", "bert", err));
    TRY(want_word(config, "hidden_act", "gelu", err));
    TRY(want_word(config, "position_embedding_type", "absolute", err));
    if (epsilon && fabs(json_number_value(epsilon) - 1e-12) > 1e-15)
        return fail(err, ST_BADARG, "config.json: layer_norm_eps must be 1e-12");
    TRY(take_count(config, "hidden_size", &out->dim, err));
    TRY(take_count(config, "num_hidden_layers", &out->layers, err));
    TRY(take_count(config, "num_attention_heads", &out->heads, err));
    TRY(take_count(config, "intermediate_size", &out->inner, err));
    TRY(take_count(config, "vocab_size", &out->words, err));
    return take_count(config, "max_position_embeddings", &out->length, err);
}

/* What follows the transformer must be what we do. */
static Status check_modules(json_t *modules, Err *err) {
    static const char *const known[] = {"Transformer", "Pooling", "Normalize"};
    size_t i;
    json_t *module;
    json_array_foreach(modules, i, module) {
        const char *type = json_text(json_object_get(module, "type"));
        const char *dot = type ? strrchr(type, '.') : NULL;
        size_t k = 0;
        while (k < 3 && strcmp(dot ? dot + 1 : "", known[k]) != 0) k++;
        if (k == 3)
            return fail(err, ST_BADARG, "modules.json: %.60s (Transformer, Pooling, Normalize)",
                type ? type : "a module without a type");
    }
    return ST_OK;
}

static Status take_pooling(json_t *pooling, BertPooling *out, Err *err) {
    static const char mean[] = "pooling_mode_mean_tokens", first[] = "pooling_mode_cls_token";
    const char *key;
    json_t *value;
    int modes = 0; /* several are put side by side */
    json_object_foreach(pooling, key, value) {
        modes += strncmp(key, "pooling_mode_", 13) == 0 && json_is_true(value);
    }
    int is_mean = json_is_true(json_object_get(pooling, mean)),
        is_first = json_is_true(json_object_get(pooling, first));
    *out = is_first ? POOL_FIRST : POOL_MEAN;
    return !pooling || (modes == 1 && (is_mean || is_first))
        ? ST_OK
        : fail(err, ST_BADARG, "1_Pooling/config.json: the mean of the tokens or the first one");
}

/* Accents go with upper case, and Han characters stand alone. */
static Status check_tokenizer(json_t *tokenizer, int is_lower, Err *err) {
    json_t *accents = json_object_get(tokenizer, "strip_accents");
    if (json_is_boolean(accents) && json_is_true(accents) != is_lower)
        return fail(
            err, ST_BADARG, "tokenizer_config.json: strip_accents is not as do_lower_case is");
    return json_is_false(json_object_get(tokenizer, "tokenize_chinese_chars"))
        ? fail(err, ST_BADARG, "tokenizer_config.json: tokenize_chinese_chars is false")
        : ST_OK;
}

typedef struct Described {
    BertShape shape;
    int is_lower;
    char name[128]; /* as its makers call it, else the folder's */
} Described;

static void take_name(json_t *config, const char *folder, char *out, size_t size) {
    const char *path = json_text(json_object_get(config, "_name_or_path"));
    if (!path || !*path) path = folder;
    const char *slash = strrchr(path, '/');
    text_format(out, size, "%s", slash && slash[1] ? slash + 1 : path);
}

static Status take_limits(json_t *limits, const EncoderWish *wish, BertShape *shape, Err *err) {
    json_t *value = json_object_get(limits, "max_seq_length");
    size_t places = shape->length;
    if (json_is_integer(value) && json_integer_value(value) >= 3 &&
        (size_t)json_integer_value(value) < places)
        shape->length = (size_t)json_integer_value(value);
    if (wish->length > places)
        return fail(
            err, ST_BADARG, "length %zu is more than the model's %zu places", wish->length, places);
    if (wish->length) shape->length = wish->length;
    return ST_OK;
}

static Status describe(const char *folder, const EncoderWish *wish, Described *out, Err *err) {
    static const char *const names[] = {"config.json", "modules.json", "1_Pooling/config.json",
        "sentence_bert_config.json", "tokenizer_config.json"};
    enum { CONFIG, MODULES, POOLING, LIMITS, TOKENIZER, N_FILES };
    json_t *file[N_FILES] = {NULL};
    Status status = ST_OK;
    for (int i = 0; status == ST_OK && i < N_FILES; i++)
        status = read_json(folder, names[i], i == CONFIG, &file[i], err);
    if (status == ST_OK) status = take_config(file[CONFIG], &out->shape, err);
    if (status == ST_OK) status = check_modules(file[MODULES], err);
    if (status == ST_OK) status = take_pooling(file[POOLING], &out->shape.pooling, err);
    if (status == ST_OK) status = take_limits(file[LIMITS], wish, &out->shape, err);
    if (status == ST_OK) status = bert_check_shape(&out->shape, err);
    out->is_lower = !json_is_false(json_object_get(file[TOKENIZER], "do_lower_case"));
    if (status == ST_OK) status = check_tokenizer(file[TOKENIZER], out->is_lower, err);
    out->shape.kind = wish->kind;
    take_name(file[CONFIG], folder, out->name, sizeof out->name);
    for (int i = 0; i < N_FILES; i++) json_decref(file[i]);
    return status;
}

/* ---- tensors: u64 length of a JSON object {"name": {"dtype":, "shape":, "data_offsets":}}, the
 * object, the numbers ---- */

typedef struct Tensors {
    json_t *header;
    const uint8_t *data;
    size_t len;
} Tensors;

static Status open_tensors(const Bytes *file, Tensors *out, Err *err) {
    Reader in = reader_of(file->data, file->len);
    uint64_t len = read_u64(&in);
    const void *header = read_block(&in, len, 1);
    if (!header) return fail(err, ST_BADARG, "model.safetensors is truncated");
    TRY(parse_json("model.safetensors", header, (size_t)len, &out->header, err));
    out->data = file->data + in.pos;
    out->len = file->len - in.pos;
    return ST_OK;
}

/* Of whatever class the model was saved as. */
static json_t *find_tensor(const Tensors *tensors, const char *name) {
    char longer[160];
    json_t *found = json_object_get(tensors->header, name);
    text_format(longer, sizeof longer, "bert.%s", name);
    return found ? found : json_object_get(tensors->header, longer);
}

static float number_at(const uint8_t *data, const char *type) {
    uint32_t bits = 0;
    uint16_t half;
    float out;
    if (type[0] == 'F' && type[1] == '3') {
        memcpy(&out, data, sizeof out);
        return out;
    }
    memcpy(&half, data, sizeof half);
    if (type[0] == 'F') {
        kernels()->from_half(&half, &out, 1);
        return out;
    }
    bits = (uint32_t)half << 16; /* bfloat16: the upper half of a float32 */
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* A tensor of rows x columns (a vector: one row); of more rows, the first. */
static Status take_tensor(
    const Tensors *tensors, const char *name, size_t rows, size_t columns, float *out, Err *err) {
    json_t *tensor = find_tensor(tensors, name), *shape = json_object_get(tensor, "shape"),
           *place = json_object_get(tensor, "data_offsets");
    const char *type = json_text(json_object_get(tensor, "dtype"));
    size_t n = json_array_size(shape);
    if (!tensor) return fail(err, ST_BADARG, "model.safetensors has no %s", name);
    if (!type ||
        (strcmp(type, "F32") != 0 && strcmp(type, "F16") != 0 && strcmp(type, "BF16") != 0))
        return fail(err, ST_BADARG, "model.safetensors: %s is of type %.20s (F32, F16, BF16)", name,
            type ? type : "?");
    json_int_t own_rows = n == 2 ? json_integer_value(json_array_get(shape, 0)) : 1,
               own_columns = n ? json_integer_value(json_array_get(shape, n - 1)) : 0;
    if (n > 2 || own_rows < (json_int_t)rows || own_columns != (json_int_t)columns)
        return fail(
            err, ST_BADARG, "model.safetensors: %s has not the shape of the configuration", name);
    size_t size = strcmp(type, "F32") == 0 ? 4 : 2;
    json_int_t from = json_integer_value(json_array_get(place, 0));
    if (from < 0 || (size_t)from > tensors->len ||
        (tensors->len - (size_t)from) / size / columns < rows)
        return fail(err, ST_BADARG, "model.safetensors is truncated at %s", name);
    for (size_t i = 0; i < rows * columns; i++)
        out[i] = number_at(tensors->data + (size_t)from + i * size, type);
    return vector_first_bad(out, rows * columns) < 0
        ? ST_OK
        : fail(err, ST_BADARG, "model.safetensors: %s holds NaN or infinity", name);
}

/* ---- weights in their places ---- */

/* Where they are written: Bert says where, for reading. */
static void *into(const void *place) {
    void *out;
    memcpy(&out, &place, sizeof out);
    return out;
}

typedef struct Filling {
    const Tensors *tensors;
    const BertShape *shape;
    float *given; /* the largest tensor */
    float *scratch;
} Filling;

static Status fill_vector(
    const Filling *f, const char *name, size_t n, const float *place, Err *err) {
    return take_tensor(f->tensors, name, 1, n, into(place), err);
}

/* Columns [at, at + out) of a matrix of x: the tensor is out x in. */
static Status fill_matrix(const Filling *f, const char *name, size_t in, size_t out,
    const Packed *matrix, size_t at, Err *err) {
    Packed part = *matrix;
    size_t skipped = packed_bytes(part.kind, in, at);
    TRY(take_tensor(f->tensors, name, out, in, f->given, err));
    packed_set(part.kind, in, out, f->given, 1, in, (uint8_t *)into(part.panel) + skipped,
        part.factor ? (float *)into(part.factor) + at : NULL, f->scratch);
    return ST_OK;
}

static Status fill_words(const Filling *f, const Bert *bert, Err *err) {
    const BertShape *shape = f->shape;
    size_t d = shape->dim;
    TRY(take_tensor(
        f->tensors, "embeddings.word_embeddings.weight", shape->words, d, f->given, err));
    for (size_t w = 0; w < shape->words; w++) {
        const float *row = f->given + w * d;
        uint16_t *half = (uint16_t *)into(bert->word) + w * d;
        if (shape->kind == PACKED_FLOAT)
            memcpy((float *)into(bert->word) + w * d, row, d * sizeof *row);
        for (size_t i = 0; shape->kind == PACKED_HALF && i < d; i++) half[i] = half_of(row[i]);
        if (shape->kind == PACKED_INT8)
            kernels()->quantize(row, d, 127, (int8_t *)into(bert->word) + w * d,
                (float *)into(bert->word_factor) + w);
    }
    return ST_OK;
}

/* Every text is of the first kind. */
static Status fill_places(const Filling *f, const Bert *bert, Err *err) {
    size_t d = f->shape->dim;
    float *place = into(bert->place);
    TRY(take_tensor(
        f->tensors, "embeddings.position_embeddings.weight", f->shape->length, d, place, err));
    TRY(take_tensor(f->tensors, "embeddings.token_type_embeddings.weight", 1, d, f->given, err));
    for (size_t i = 0; i < f->shape->length; i++)
        for (size_t c = 0; c < d; c++) place[i * d + c] += f->given[c];
    TRY(fill_vector(f, "embeddings.LayerNorm.weight", d, bert->norm[0], err));
    return fill_vector(f, "embeddings.LayerNorm.bias", d, bert->norm[1], err);
}

static Status fill_layer(const Filling *f, const BertLayer *layer, size_t l, Err *err) {
    size_t d = f->shape->dim, inner = f->shape->inner;
    const struct {
        const char *name;
        size_t in, out, at;
        const Packed *matrix;
        const float *bias;
    } dense[] = {{"attention.self.query", d, d, 0, &layer->qkv, layer->b_qkv},
        {"attention.self.key", d, d, d, &layer->qkv, layer->b_qkv + d},
        {"attention.self.value", d, d, 2 * d, &layer->qkv, layer->b_qkv + 2 * d},
        {"attention.output.dense", d, d, 0, &layer->out, layer->b_out},
        {"intermediate.dense", d, inner, 0, &layer->w1, layer->b1},
        {"output.dense", inner, d, 0, &layer->w2, layer->b2}};
    const struct {
        const char *name;
        const float *place;
    } norm[] = {{"attention.output.LayerNorm.weight", layer->norm_out[0]},
        {"attention.output.LayerNorm.bias", layer->norm_out[1]},
        {"output.LayerNorm.weight", layer->norm_2[0]}, {"output.LayerNorm.bias", layer->norm_2[1]}};
    char name[128];
    for (size_t i = 0; i < sizeof dense / sizeof *dense; i++) {
        text_format(name, sizeof name, "encoder.layer.%zu.%s.weight", l, dense[i].name);
        TRY(fill_matrix(f, name, dense[i].in, dense[i].out, dense[i].matrix, dense[i].at, err));
        text_format(name, sizeof name, "encoder.layer.%zu.%s.bias", l, dense[i].name);
        TRY(fill_vector(f, name, dense[i].out, dense[i].bias, err));
    }
    for (size_t i = 0; i < sizeof norm / sizeof *norm; i++) {
        text_format(name, sizeof name, "encoder.layer.%zu.%s", l, norm[i].name);
        TRY(fill_vector(f, name, d, norm[i].place, err));
    }
    return ST_OK;
}

static Status fill_all(const Filling *f, void *weights, Err *err) {
    Bert *bert = mem_zeros(1, sizeof *bert);
    if (!bert) return fail_nomem(err, "the encoder");
    bert_init(bert, f->shape, weights);
    Status status = fill_words(f, bert, err);
    if (status == ST_OK) status = fill_places(f, bert, err);
    for (size_t l = 0; status == ST_OK && l < f->shape->layers; l++)
        status = fill_layer(f, &bert->layer[l], l, err);
    mem_free(bert);
    return status;
}

/* The weights, which the caller frees. */
static Status read_weights(const char *folder, const BertShape *shape, void **out, Err *err) {
    Bytes file = {0};
    Tensors tensors = {0};
    size_t d = shape->dim, widest = shape->inner > shape->words ? shape->inner : shape->words;
    widest = widest > d ? widest : d;
    Filling filling = {.tensors = &tensors, .shape = shape};
    *out = NULL;
    Status status = read_file(folder, "model.safetensors", 1, &file, err);
    if (status == ST_OK) status = open_tensors(&file, &tensors, err);
    if (status == ST_OK) {
        size_t bytes = bert_bytes(shape);
        *out = mem_aligned(bytes, 1);
        filling.given = mem_array(widest, d * sizeof(float));
        filling.scratch = mem_array(shape->inner > d ? shape->inner : d, sizeof(float));
        if (!*out || !filling.given || !filling.scratch) status = fail_nomem(err, "the encoder");
        else memset(*out, 0, bytes); /* what lies between */
    }
    if (status == ST_OK) status = fill_all(&filling, *out, err);
    mem_free(filling.given);
    mem_free(filling.scratch);
    json_decref(tensors.header);
    bytes_clear(&file);
    return status;
}

Status encoder_from_folder(
    const char *folder, const EncoderWish *wish, Bytes *out, char sha256[SHA256_TEXT], Err *err) {
    Described found = {0};
    Bytes vocabulary = {0};
    void *weights = NULL;
    WordPiece pieces = {0};
    TRY(describe(folder, wish, &found, err));
    Status status = read_file(folder, "vocab.txt", 1, &vocabulary, err);
    if (status == ST_OK)
        status = wordpiece_init(
            &pieces, (const char *)vocabulary.data, vocabulary.len, found.is_lower, err);
    if (status == ST_OK && (size_t)keymap_count(pieces.pieces) > found.shape.words)
        status = fail(err, ST_BADARG, "vocab.txt has more lines than config.json's vocab_size");
    wordpiece_clear(&pieces);
    if (status == ST_OK) status = read_weights(folder, &found.shape, &weights, err);
    if (status == ST_OK)
        status = text_encoder_write(out, &found.shape, found.is_lower, found.name,
            (const char *)vocabulary.data, vocabulary.len, weights, sha256, err);
    mem_free(weights);
    bytes_clear(&vocabulary);
    return status;
}
