#include "model_request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/hash.h"
#include "../../base/options.h"
#include "../host/values.h"

static const OptSpec call_options[] = {
    {"exclude_seen", OPT_FLAG, offsetof(CallOptions, exclude_seen), 0, 0, -1, NULL,
        "leave out what is in the history (or in the cart); default: true, but false where the "
        "algorithm offers what one has"},
    {"version", OPT_INT, offsetof(CallOptions, version), 0, 1e12, 0, NULL,
        "answer with this version; 0: the active one"},
    {"until", OPT_TIME, offsetof(CallOptions, until), DATE_FIRST, DATE_LAST, INFINITY, NULL,
        "read the history before this time; default: the version's own until"},
    {"diversity", OPT_REAL, offsetof(CallOptions, rerank.diversity), 0, 1, 0, NULL,
        "how much an item should be unlike those before it; 0: not"},
    {"popularity_penalty", OPT_REAL, offsetof(CallOptions, rerank.popularity_penalty), 0, 10, 0,
        NULL, "divide scores by (users of the item) to this power"},
    {"calibration", OPT_REAL, offsetof(CallOptions, rerank.calibration), 0, 1000, 0, NULL,
        "how much the list's categories should be those of the history (item_category=)"},
    {"max_per_category", OPT_INT, offsetof(CallOptions, rerank.max_per_category), 0, 1e9, 0, NULL,
        "so many items of a category at most (item_category=); 0: any number"},
    {"pool", OPT_INT, offsetof(CallOptions, rerank.pool), 1, 1e6, 200, NULL,
        "the first so many items of the list are put in a new order"},
    {"device", OPT_TEXT, offsetof(CallOptions, device), 0, 16, 0, "cpu",
        "everybody's lists are scored on: cpu, gpu, gpu:N, gpu:all or auto (by vectors)"},
    {"at", OPT_TEXT, offsetof(CallOptions, at), 0, ROUTE_NAME, 0, "",
        "answer with the version that has this alias"},
    {"arm", OPT_TEXT, offsetof(CallOptions, arm), 0, ROUTE_NAME, 0, "",
        "answer as this arm of the experiment that runs"},
    {"unit", OPT_TEXT, offsetof(CallOptions, unit), 0, ROUTE_NAME, 0, "",
        "who asks, for the experiment: of a cart, say, the session; default: the user"},
    {"interleave", OPT_TEXT, offsetof(CallOptions, interleave), 0, ROUTE_NAME, 0, "",
        "a list drawn from two versions by turns: the other one's number or alias"},
    {"swap", OPT_INT, offsetof(CallOptions, swap), 0, 1000, 0, NULL,
        "the first item changes places with that of a place drawn from the first so many"},
    {"draw", OPT_TEXT, offsetof(CallOptions, draw), 0, ROUTE_NAME, 0, "",
        "what chance (interleave, swap) is drawn anew for: the list's id, say"},
    {0},
};

static Status set_subject(Request *request, int subject, Err *err) {
    if (request->subject) return fail(err, ST_BADARG, "give one of user, similar_to and basket");
    request->subject = subject;
    return ST_OK;
}

static Status take_integer(
    Request *request, const char *what, sqlite3_value *value, int64_t *out, Err *err) {
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        request->null_input = 1;
        return ST_OK;
    }
    return value_whole(what, value, out, err);
}

static Status take_list(const ModelDefinition *definition, KeyList *list, const char *what,
    sqlite3_value *value, Request *request, Err *err) {
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        request->null_input = 1;
        return ST_OK;
    }
    return key_list_parse(list, what, value_text(value), definition->item_affinity, err);
}

/* NULL asks nothing; what can be no key would be met by the popular list, and nobody would
 * notice. */
static Status take_key(Request *request, const char *what, sqlite3_value *value, Affinity affinity,
    char *buffer, Key *out, Err *err) {
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        request->null_input = 1;
        return ST_OK;
    }
    return value_key(value, affinity, buffer, out) ? ST_OK : value_no_key(what, value, err);
}

static Status take_argument(const ModelDefinition *definition, Request *request, char letter,
    sqlite3_value *value, Err *err) {
    OptTarget target = {call_options, &request->call};
    int null = sqlite3_value_type(value) == SQLITE_NULL;
    /* recs(1, 10, NULL, NULL, '[...]'): an argument passed over */
    if (null && request->function_form && letter != 'k') return ST_OK;
    switch (letter) {
    case 'u':
    case 'U':
        request->user = value;
        TRY(take_key(request, "user", value, definition->user_affinity, request->similar_buffer,
            &request->similar, err));
        return set_subject(request, SUBJECT_USER, err);
    case 's':
        TRY(take_key(request, "similar_to", value, definition->item_affinity,
            request->similar_buffer, &request->similar, err));
        return set_subject(request, SUBJECT_SIMILAR, err);
    case 'b':
        TRY(take_list(definition, &request->basket, "basket", value, request, err));
        return set_subject(request, SUBJECT_BASKET, err);
    case 'c':
        request->has_candidates = 1;
        return take_list(definition, &request->candidates, "candidates", value, request, err);
    case 'x':
        return sqlite3_value_type(value) == SQLITE_NULL
            ? ST_OK
            : take_list(definition, &request->exclude, "exclude", value, request, err);
    case 'k':
        request->wanted.by = WANTS_K;
        TRY(take_integer(request, "k", value, &request->wanted.k, err));
        return request->wanted.k < 0
            ? fail(err, ST_BADARG, "k=%lld (0 or more)", (long long)request->wanted.k)
            : ST_OK;
    case 'l':
        request->wanted.by = WANTS_LIMIT;
        return take_integer(request, "LIMIT", value, &request->wanted.limit, err);
    case 'o': return take_integer(request, "OFFSET", value, &request->wanted.offset, err);
    case 'i': request->in[request->n_in++] = value; return ST_OK;
    case '=':
        request->has_item = 1;
        request->item_is_key = value_key(
            value, definition->item_affinity, request->item_buffer, &request->item);
        return ST_OK;
    case 'O':
        return sqlite3_value_type(value) == SQLITE_NULL
            ? ST_OK
            : options_set_json(&target, 1, value_text(value), err);
    default: return fail(err, ST_BADARG, "unknown plan");
    }
}

static int echo_column(char letter) {
    switch (letter) {
    case 'U': return C_COMMAND;
    case 'u': return C_USER;
    case 'k': return C_K;
    case 's': return C_SIMILAR_TO;
    case 'b': return C_BASKET;
    case 'c': return C_CANDIDATES;
    case 'x': return C_EXCLUDE;
    case 'O': return C_OPTIONS;
    default: return -1;
    }
}

sqlite3_uint64 model_hash_bytes(sqlite3_uint64 hash, const void *data, size_t len) {
    hash = fnv1a(hash, data, len);
    return hash ^ (hash >> 31);
}

static sqlite3_uint64 hash_value(sqlite3_uint64 hash, sqlite3_value *value) {
    int type = sqlite3_value_type(value);
    hash = model_hash_bytes(hash, &type, sizeof type);
    if (type == SQLITE_INTEGER) {
        sqlite3_int64 number = sqlite3_value_int64(value);
        return model_hash_bytes(hash, &number, sizeof number);
    }
    if (type == SQLITE_FLOAT) {
        double number = sqlite3_value_double(value);
        return model_hash_bytes(hash, &number, sizeof number);
    }
    const void *data = sqlite3_value_blob(value);
    return data ? model_hash_bytes(hash, data, (size_t)sqlite3_value_bytes(value)) : hash;
}

/* Reading may convert a value: the echo keeps the original. */
static Status read_argument(Request *request, RequestEcho *echo, const ModelDefinition *definition,
    char letter, sqlite3_value *value, Err *err) {
    int column = echo_column(letter);
    sqlite3_value *kept = value;
    if (column >= 0) {
        kept = echo->column[column] = sqlite3_value_dup(value);
        if (!kept) return fail_nomem(err, "an input");
        echo->hash = hash_value(model_hash_bytes(echo->hash, &letter, 1), value);
    }
    TRY(take_argument(definition, request, letter, value, err));
    if (letter == 'u' || letter == 'U') request->user = request->user ? kept : NULL;
    return ST_OK;
}

static Status check_version(const CallOptions *call, Err *err) {
    int named = !!call->version + !!*call->at + !!*call->arm;
    return named > 1 ? fail(err, ST_BADARG, "give one of version, at and arm") : ST_OK;
}

Status request_read(Request *out, RequestEcho *echo, const ModelDefinition *definition, int number,
    const char *plan, sqlite3_value **argv, Err *err) {
    options_default(call_options, &out->call);
    out->because = (number & MODEL_PLAN_BECAUSE) != 0;
    out->propensity = (number & MODEL_PLAN_PROPENSITY) != 0;
    out->browses = (number & MODEL_PLAN_BROWSE) != 0;
    out->function_form = strchr(plan, 'U') != NULL;
    echo->hash = FNV_START;
    for (int i = 0; plan[i]; i++) TRY(read_argument(out, echo, definition, plan[i], argv[i], err));
    out->null_input |= out->function_form && !out->subject; /* recs(NULL, 10) */
    TRY(check_version(&out->call, err));
    return device_parse(out->call.device, &out->device, err);
}

int request_hides_seen(const Request *request, const Model *model) {
    int64_t said = request->call.exclude_seen;
    return said < 0 ? !model->algorithm->keeps_seen : said != 0;
}

void request_clear(Request *request) {
    key_list_clear(&request->basket);
    key_list_clear(&request->candidates);
    key_list_clear(&request->exclude);
    *request = (Request){0};
}

void request_echo_clear(RequestEcho *echo) {
    for (int i = 0; i < N_MODEL_COLUMNS; i++) sqlite3_value_free(echo->column[i]);
    *echo = (RequestEcho){0};
}
