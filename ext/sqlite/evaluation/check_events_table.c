/* rec_check_events(model): what in the model's behaviour table would be refused, or would train
 * without a word and be wrong.
 *
 * One row a kind of problem, none where there is none: problem, how many rows (or users, or items)
 * have it, the first five with their rowids (of a table) or keys (of a view) and values as JSON,
 * and what to write. One pass over the table in constant memory a row but for the keys, and a GROUP
 * BY for exact duplicates. Nothing is decided here: a shop may mean it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../base/date.h"
#include "../../base/memory.h"
#include "../../base/text.h"
#include "../host/guard.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "../model/model_events.h"

enum { EXAMPLES = 5, COLUMN_ROWID = 5 };

/* A robot has MANY events, and so many times the median user's; a guest who is everybody has a
 * share of all events that no single person has. Items need TWO users to be like another item. */
/* A table is stale after a month; pauses are looked at from two weeks of days on. */
enum { STALE_DAYS = 31, LEAST_DAYS = 14, GAP_LEAST = 3, GAP_TIMES = 2 };

enum { ROBOT_EVENTS = 500, ROBOT_TIMES_MEDIAN = 100, GUEST_LEAST_EVENTS = 50 };

static const double GUEST_SHARE = .05, NAMELESS_SHARE = .01;

static const double ANCIENT = 631152000; /* 1990-01-01: before that no shop kept clicks */

typedef enum Problem {
    USER_NULL,
    USER_EMPTY,
    USER_BLOB,
    USER_FRACTION,
    ITEM_NULL,
    ITEM_EMPTY,
    ITEM_BLOB,
    ITEM_FRACTION,
    TIME_MISSING,
    TIME_NONSENSE,
    TIME_UNIT,
    TIME_ALL,
    TIME_FUTURE,
    TIME_ANCIENT,
    WEIGHT_MISSING,
    WEIGHT_NONSENSE,
    WEIGHT_RANGE,
    WEIGHT_ZERO,
    DUPLICATE,
    USER_BOTH,
    ITEM_BOTH,
    USER_BLANKS,
    ITEM_BLANKS,
    ROBOT,
    GUEST,
    ITEM_ONCE,
    STALE,
    GAPS,
    TOO_LITTLE,
    N_PROBLEMS
} Problem;

/* %s in the advice is the column's name (of duplicates the table's). */
typedef struct ProblemText {
    const char *problem, *advice;
} ProblemText;

static const ProblemText texts[N_PROBLEMS] = {
    [USER_NULL] = {"user is NULL",
        "no model can be trained: leave them out in a view, WHERE %s IS NOT NULL"},
    [USER_EMPTY] = {"user is an empty text",
        "all guests become one user with everybody's taste: leave them out in a view, WHERE %s <> "
        "''"},
    [USER_BLOB] = {"user is a BLOB",
        "no model can be trained: CAST(%s AS TEXT) in a view; Python binds NumPy's integers like "
        "this, int(...) does not"},
    [USER_FRACTION] = {"user is a fraction",
        "no model can be trained: a key is an INTEGER or a TEXT; is %s the right column?"},
    [ITEM_NULL] = {"item is NULL",
        "no model can be trained: leave them out in a view, WHERE %s IS NOT NULL"},
    [ITEM_EMPTY] = {"item is an empty text",
        "it would be recommended: leave them out in a view, WHERE %s <> ''"},
    [ITEM_BLOB] = {"item is a BLOB", "no model can be trained: CAST(%s AS TEXT) in a view"},
    [ITEM_FRACTION] = {"item is a fraction",
        "no model can be trained: a key is an INTEGER or a TEXT; is %s the right column?"},
    [TIME_MISSING] = {"time is NULL",
        "no model can be trained: leave them out in a view, WHERE %s IS NOT NULL, or give the "
        "model no time="},
    [TIME_NONSENSE] = {"time is no date",
        "no model can be trained: dates are YYYY-MM-DD[ HH:MM[:SS]] or numbers; mend %s in a view"},
    [TIME_UNIT] = {"time is past the year 9999 in its unit",
        "CREATE VIRTUAL TABLE ... (..., time_unit=milliseconds) if %s counts those"},
    [TIME_ALL] = {"all times look like another unit",
        "numbers in %s are taken as seconds since 1970: give the model time_unit=, or make dates "
        "of them in a view"},
    [TIME_FUTURE] = {"time is in the future",
        "decay counts from the newest event: leave them out in a view, WHERE %s <= unixepoch()"},
    [TIME_ANCIENT] = {"time is before 1990",
        "0 and -1 often mean that nobody knows: leave them out, or mend %s in a view"},
    [WEIGHT_MISSING] = {"weight is NULL", "no model can be trained: coalesce(%s, 1) in a view"},
    [WEIGHT_NONSENSE] = {"weight is no number", "no model can be trained: mend %s in a view"},
    [WEIGHT_RANGE] = {"weight is beyond -1e12..1e12",
        "no model can be trained: is %s the right column?"},
    [WEIGHT_ZERO] = {"weight is 0",
        "such an event adds nothing, unless it is a rating: WHERE %s <> 0 in a view"},
    [DUPLICATE] = {"exact duplicates",
        "weights are added up: if an event cannot happen twice, SELECT DISTINCT in a view (%s: the "
        "columns of the model)"},
    [USER_BOTH] = {"user is a number here and its text there",
        "they are two users: CAST(%s AS TEXT) in a view"},
    [ITEM_BOTH] = {"item is a number here and its text there",
        "they are two items: CAST(%s AS TEXT) in a view"},
    [USER_BLANKS] = {"user has blanks around it", "keys are bytes: trim(%s) in a view"},
    [ITEM_BLANKS] = {"item has blanks around it", "keys are bytes: trim(%s) in a view"},
    [ROBOT] = {"users with very many events",
        "a robot, a reseller or a test account? max_history=1000 caps what one user counts, or "
        "leave them out by %s"},
    [GUEST] = {"one user who may be all guests",
        "nobody buys that much: leave this %s out in a view"},
    [ITEM_ONCE] = {"items of a single user",
        "they are like nothing else: min_support=2 leaves them out, or text and vectors (content) "
        "know them; %s"},
    [STALE] = {"nothing new for a month",
        "count: days since the newest event by %s. Is the table still filled?"},
    [GAPS] = {"days without events", "closed, or lost? Longer than this shop's usual pauses by %s"},
    [TOO_LITTLE] = {"few events for the algorithm",
        "count: events. Below some thousands the popular list is hard to beat: evaluate before you "
        "serve, and keep %s coming"},
};

typedef struct Finding {
    int64_t count;
    int n_examples;
    Bytes examples; /* JSON, without the brackets */
} Finding;

/* What is counted of a key. */
typedef struct UserCount {
    int64_t events;
} UserCount;

typedef struct ItemCount {
    int32_t user; /* the first who had it */
    int more;     /* another has it, too */
} ItemCount;

typedef struct Check {
    const ModelDefinition *definition;
    Finding finding[N_PROBLEMS];
    KeyMap *users, *items;
    UserCount *user; /* users, with room */
    ItemCount *item;
    int32_t user_capacity, item_capacity;
    TimeSpan span;
    KeyMap *days; /* with events, counted from 1970 */
    int64_t last_day;
    double newest;
    int64_t rows;
    double now;
    int has_rowid;
} Check;

/* One row more with a problem, which is in `column`. Rows of a view have no number: user and item
 * say which it is. */
static void note_row(Check *check, Problem problem, sqlite3_stmt *row, int column) {
    Finding *finding = &check->finding[problem];
    finding->count++;
    if (finding->n_examples == EXAMPLES) return;
    if (finding->n_examples++) bytes_append(&finding->examples, ", ", 2);
    if (check->has_rowid) {
        bytes_format(&finding->examples,
            "{\"rowid\": %lld, \"value\": ", sqlite3_column_int64(row, COLUMN_ROWID));
    } else {
        bytes_append(&finding->examples, "{\"user\": ", 9);
        value_json(&finding->examples, sqlite3_column_value(row, 0));
        bytes_append(&finding->examples, ", \"item\": ", 10);
        value_json(&finding->examples, sqlite3_column_value(row, 1));
        bytes_append(&finding->examples, ", \"value\": ", 11);
    }
    value_json(&finding->examples, sqlite3_column_value(row, column));
    bytes_append(&finding->examples, "}", 1);
}

/* A user or an item with a problem, and how many events, unless that is negative. */
static void note_key(Check *check, Problem problem, Key key, int64_t events) {
    Finding *finding = &check->finding[problem];
    finding->count++;
    if (finding->n_examples == EXAMPLES) return;
    if (finding->n_examples++) bytes_append(&finding->examples, ", ", 2);
    if (events >= 0) bytes_append(&finding->examples, "{\"key\": ", 8);
    key_json(key, &finding->examples);
    if (events >= 0) bytes_format(&finding->examples, ", \"events\": %lld}", (long long)events);
}

/* ---- a row ---- */

/* Can the value be a key? What is odd about it is noted. first: the first of the four problems of
 * its column. */
static int check_key(Check *check, sqlite3_stmt *row, int column, Problem first, Problem blanks,
    Affinity affinity, char *buffer, Key *key) {
    sqlite3_value *value = sqlite3_column_value(row, column);
    if (!value_key(value, affinity, buffer, key)) {
        int type = sqlite3_value_type(value);
        note_row(check,
            (Problem)(first +
                (type == SQLITE_NULL          ? 0
                        : type == SQLITE_BLOB ? 2
                                              : 3)),
            row, column);
        return 0;
    }
    if (key->text && key->len == 0) note_row(check, (Problem)(first + 1), row, column);
    if (key->text && key->len &&
        (ascii_is_space(key->text[0]) || ascii_is_space(key->text[key->len - 1])))
        note_row(check, blanks, row, column);
    return 1;
}

static void check_weight(Check *check, sqlite3_stmt *row) {
    double weight;
    if (!check->definition->weight) return;
    if (sqlite3_column_type(row, 2) == SQLITE_NULL) note_row(check, WEIGHT_MISSING, row, 2);
    else if (!events_number(row, 2, &weight)) note_row(check, WEIGHT_NONSENSE, row, 2);
    else if (!(fabs(weight) <= DATASET_MAX_WEIGHT)) note_row(check, WEIGHT_RANGE, row, 2);
    else if (weight == 0) note_row(check, WEIGHT_ZERO, row, 2);
}

/* Rows of one day tend to follow one another. */
static Status count_day(Check *check, double seconds, Err *err) {
    int64_t day = (int64_t)floor(seconds / 86400);
    int32_t id;
    check->newest = fmax(check->newest, seconds);
    if (check->rows && day == check->last_day) return ST_OK;
    check->last_day = day;
    return keymap_add(check->days, (Key){.integer = day}, &id, err);
}

static Status check_time(Check *check, sqlite3_stmt *row, Err *err) {
    double number, seconds;
    if (!check->definition->time) return ST_OK;
    if (sqlite3_column_type(row, 3) == SQLITE_NULL) {
        note_row(check, TIME_MISSING, row, 3);
        return ST_OK;
    }
    if (events_number(row, 3, &number)) {
        if (sqlite3_column_type(row, 3) != SQLITE_TEXT) time_span_add(&check->span, number);
        seconds = date_from_number(number, check->definition->time_unit);
        if (!date_is_possible(seconds)) {
            note_row(check, TIME_UNIT, row, 3);
            return ST_OK;
        }
    } else if (sqlite3_column_type(row, 3) != SQLITE_TEXT ||
        !date_parse((const char *)sqlite3_column_text(row, 3), (size_t)sqlite3_column_bytes(row, 3),
            &seconds)) {
        note_row(check, TIME_NONSENSE, row, 3);
        return ST_OK;
    }
    if (seconds > check->now + 86400) note_row(check, TIME_FUTURE, row, 3);
    else if (seconds < ANCIENT) note_row(check, TIME_ANCIENT, row, 3);
    else return count_day(check, seconds, err);
    return ST_OK;
}

static Status grow(void **array, int32_t *capacity, int32_t wanted, size_t size, Err *err) {
    if (wanted < *capacity) return ST_OK;
    int32_t larger = *capacity + *capacity / 2 + 1024;
    void *grown = mem_resize(*array, (size_t)larger, size);
    if (!grown) return fail_nomem(err, "the check");
    memset((char *)grown + (size_t)*capacity * size, 0, (size_t)(larger - *capacity) * size);
    *array = grown;
    *capacity = larger;
    return ST_OK;
}

static Status count_pair(Check *check, Key user, Key item, Err *err) {
    int32_t u, i;
    TRY(keymap_add(check->users, user, &u, err));
    TRY(keymap_add(check->items, item, &i, err));
    TRY(grow((void **)&check->user, &check->user_capacity, u, sizeof *check->user, err));
    TRY(grow((void **)&check->item, &check->item_capacity, i, sizeof *check->item, err));
    check->user[u].events++;
    if (check->item[i].user && check->item[i].user != u + 1) check->item[i].more = 1;
    if (!check->item[i].user) check->item[i].user = u + 1;
    return ST_OK;
}

static Status check_row(Check *check, sqlite3_stmt *row, Err *err) {
    const ModelDefinition *definition = check->definition;
    char buffer[2 * KEY_BUFFER];
    Key user, item;
    int has_user = check_key(
        check, row, 0, USER_NULL, USER_BLANKS, definition->user_affinity, buffer, &user);
    int has_item = check_key(check, row, 1, ITEM_NULL, ITEM_BLANKS, definition->item_affinity,
        buffer + KEY_BUFFER, &item);
    check_weight(check, row);
    TRY(check_time(check, row, err));
    check->rows++;
    return has_user && has_item ? count_pair(check, user, item, err) : ST_OK;
}

/* ---- the table as a whole ---- */

/* Integers that are there as text, too. */
static void check_both(Check *check, const KeyMap *keys, Problem problem) {
    for (int32_t i = 0; i < keymap_count(keys); i++) {
        char text[KEY_BUFFER];
        Key key = keymap_key(keys, i);
        if (key.text) continue;
        int len = text_format(text, sizeof text, "%lld", (long long)key.integer);
        if (keymap_find(keys, (Key){.text = text, .len = (size_t)len}) >= 0)
            note_key(check, problem, key, -1);
    }
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Words that stand for nobody. */
static int is_nameless(Key key) {
    static const char *const words[] = {
        "", "0", "-1", "guest", "anonymous", "anon", "null", "none", "nan", "unknown", "n/a", "na"};
    if (!key.text) return key.integer == 0 || key.integer == -1;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == key.len && sqlite3_strnicmp(words[i], key.text, (int)key.len) == 0)
            return 1;
    return 0;
}

static Status check_users(Check *check, Err *err) {
    int32_t n = keymap_count(check->users);
    int64_t *events = mem_array((size_t)n, sizeof *events);
    if (!events) return fail_nomem(err, "the check");
    for (int32_t u = 0; u < n; u++) events[u] = check->user[u].events;
    if (n) qsort(events, (size_t)n, sizeof *events, ascending);
    int64_t median = n ? events[n / 2] : 0;
    for (int32_t u = 0; u < n; u++) {
        Key key = keymap_key(check->users, u);
        int64_t own = check->user[u].events;
        double share = (double)own / (double)check->rows;
        if (own >= GUEST_LEAST_EVENTS && share >= (is_nameless(key) ? NAMELESS_SHARE : GUEST_SHARE))
            note_key(check, GUEST, key, own);
        else if (own >= ROBOT_EVENTS && own >= ROBOT_TIMES_MEDIAN * median)
            note_key(check, ROBOT, key, own);
    }
    mem_free(events);
    return ST_OK;
}

static void check_items(Check *check) {
    for (int32_t i = 0; i < keymap_count(check->items); i++)
        if (!check->item[i].more) note_key(check, ITEM_ONCE, keymap_key(check->items, i), -1);
}

/* Pauses between days with events that are longer than three days and GAP_TIMES the usual longest
 * ones (of ten the longest). */
static Status check_gaps(Check *check, Err *err) {
    int32_t n = keymap_count(check->days), *new_id;
    Finding *finding = &check->finding[GAPS];
    if (n < LEAST_DAYS) return ST_OK;
    TRY(keymap_sort(check->days, &new_id, err));
    mem_free(new_id);
    int64_t *gap = mem_array((size_t)n, sizeof *gap);
    if (!gap) return fail_nomem(err, "the check");
    for (int32_t i = 1; i < n; i++)
        gap[i - 1] = keymap_key(check->days, i).integer - keymap_key(check->days, i - 1).integer;
    qsort(gap, (size_t)n - 1, sizeof *gap, ascending);
    int64_t usual = gap[(n - 2) * 9 / 10];
    mem_free(gap);
    for (int32_t i = 1; i < n; i++) {
        int64_t day = keymap_key(check->days, i - 1).integer,
                days = keymap_key(check->days, i).integer - day - 1;
        if (days < GAP_LEAST || days + 1 < GAP_TIMES * usual) continue;
        finding->count += days;
        if (finding->n_examples == EXAMPLES) continue;
        bytes_format(&finding->examples, "%s{\"after\": %lld, \"days\": %lld}",
            finding->n_examples++ ? ", " : "", (long long)(day + 1) * 86400, (long long)days);
    }
    return ST_OK;
}

static void check_amounts(Check *check) {
    double age = floor((check->now - check->newest) / 86400);
    if (keymap_count(check->days) && age >= STALE_DAYS) {
        check->finding[STALE].count = (int64_t)age;
        bytes_format(&check->finding[STALE].examples, "{\"newest\": %.0f}", check->newest);
    }
    const Algorithm *algorithm = check->definition->algorithm;
    if (check->rows >= algorithm->least_events) return;
    check->finding[TOO_LITTLE].count = check->rows;
    bytes_format(&check->finding[TOO_LITTLE].examples, "{\"algorithm\": \"%s\", \"wants\": %d}",
        algorithm->name, (int)algorithm->least_events);
}

static void check_span(Check *check) {
    const char *looks = check->definition->time && check->definition->time_unit == TIME_SECONDS
        ? time_span_suspect(&check->span, 1)
        : NULL;
    Finding *finding = &check->finding[TIME_ALL];
    if (!looks) return;
    finding->count = check->span.n;
    bytes_format(&finding->examples, "{\"looks like\": \"%s\", \"least\": %.15g, \"most\": %.15g}",
        looks, check->span.least, check->span.most);
}

static char *columns_of(const ModelDefinition *definition, const char *form) {
    sqlite3_str *text = sqlite3_str_new(NULL);
    const char *const column[] = {definition->user, definition->item, definition->weight,
        definition->time, definition->session};
    for (size_t i = 0; i < sizeof column / sizeof *column; i++)
        if (column[i]) {
            sqlite3_str_appendall(text, i ? ", " : "");
            sqlite3_str_appendf(text, form, column[i], column[i], column[i], column[i]);
        }
    return sqlite3_str_finish(text);
}

static Status check_duplicates(Check *check, Err *err) {
    const ModelDefinition *definition = check->definition;
    /* what JSON can hold */
    char *columns = columns_of(definition, "e.\"%w\""),
         *shown = columns_of(definition,
             "CASE WHEN typeof(e.\"%w\")='blob' THEN 'a BLOB' WHEN typeof(e.\"%w\")='real' AND "
             "abs(e.\"%w\")>1.7976931348623157e308 THEN 'infinite' ELSE e.\"%w\" END");
    sqlite3_stmt *rows = NULL;
    Finding *finding = &check->finding[DUPLICATE];
    Status status = columns && shown
        ? sql_prepare(definition->id.db, &rows, err,
              "SELECT count(*), json_array(%s) FROM \"%w\".\"%w\" e WHERE typeof(e.\"%w\")<>'blob' "
              "AND typeof(e.\"%w\")<>'blob' GROUP BY %s HAVING count(*)>1",
              shown, definition->id.schema, definition->events, definition->user, definition->item,
              columns)
        : fail_nomem(err, "SQL");
    sqlite3_free(columns);
    sqlite3_free(shown);
    while (sql_next(definition->id.db, rows, &status, err)) {
        finding->count += sqlite3_column_int64(rows, 0) - 1;
        if (finding->n_examples == EXAMPLES) continue;
        bytes_format(&finding->examples, "%s{\"times\": %lld, \"row\": %s}",
            finding->n_examples++ ? ", " : "", sqlite3_column_int64(rows, 0),
            (const char *)sqlite3_column_text(rows, 1));
    }
    sqlite3_finalize(rows);
    return status;
}

/* ---- */

static Status prepare_rows(
    const ModelDefinition *definition, int with_rowid, sqlite3_stmt **out, Err *err) {
    char *weight = definition->weight ? sqlite3_mprintf("e.\"%w\"", definition->weight)
                                      : sqlite3_mprintf("1");
    char *time = definition->time ? sqlite3_mprintf("e.\"%w\"", definition->time)
                                  : sqlite3_mprintf("0");
    Status status = weight && time
        ? sql_prepare(definition->id.db, out, err,
              "SELECT e.\"%w\", e.\"%w\", %s, %s, 0, %s FROM \"%w\".\"%w\" AS e", definition->user,
              definition->item, weight, time, with_rowid ? "e.rowid" : "NULL",
              definition->id.schema, definition->events)
        : fail_nomem(err, "SQL");
    sqlite3_free(weight);
    sqlite3_free(time);
    return status;
}

static Status has_rowid(const ModelDefinition *definition, int *out, Err *err) {
    sqlite3_int64 found;
    TRY(sql_integer(definition->id.db, 0, &found, err,
        "SELECT 1 FROM pragma_table_list(%Q) WHERE schema=%Q AND type='table' AND NOT wr AND NOT "
        "EXISTS(SELECT 1 FROM pragma_table_xinfo(%Q, %Q) WHERE name='rowid' COLLATE NOCASE)",
        definition->events, definition->id.schema, definition->events, definition->id.schema));
    *out = found != 0;
    return ST_OK;
}

static Status check_all(Check *check, Err *err) {
    const ModelDefinition *definition = check->definition;
    sqlite3_stmt *rows = NULL;
    TRY(guard_source(definition->id.db, definition->id.schema, definition->events, 0, err));
    TRY(has_rowid(definition, &check->has_rowid, err));
    Status status = prepare_rows(definition, check->has_rowid, &rows, err);
    while (sql_next(definition->id.db, rows, &status, err)) {
        status = check_row(check, rows, err);
    }
    sqlite3_finalize(rows);
    if (status == ST_OK) status = check_duplicates(check, err);
    if (status == ST_OK) status = check_users(check, err);
    if (status != ST_OK) return status; /* the arrays may be shorter than the keys */
    TRY(check_gaps(check, err));
    check_amounts(check);
    check_items(check);
    check_both(check, check->users, USER_BOTH);
    check_both(check, check->items, ITEM_BOTH);
    check_span(check);
    return ST_OK;
}

static const char *column_of(const ModelDefinition *definition, Problem problem) {
    if (problem <= USER_FRACTION || problem == USER_BOTH || problem == USER_BLANKS ||
        problem == ROBOT || problem == GUEST)
        return definition->user;
    if ((problem >= TIME_MISSING && problem <= TIME_ANCIENT) || problem == STALE || problem == GAPS)
        return definition->time;
    if (problem >= WEIGHT_MISSING && problem <= WEIGHT_ZERO) return definition->weight;
    return problem == DUPLICATE || problem == TOO_LITTLE ? definition->events : definition->item;
}

static Status emit(const Check *check, RowSink *sink, Err *err) {
    for (int p = 0; p < N_PROBLEMS; p++) {
        const Finding *finding = &check->finding[p];
        if (!finding->count) continue;
        Bytes first = {0};
        char advice[300];
        bytes_append(&first, "[", 1);
        bytes_append(&first, finding->examples.data, finding->examples.len);
        bytes_append(&first, "]", 2);
        if (first.failed || finding->examples.failed) {
            bytes_clear(&first);
            return fail_nomem(err, "the check");
        }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        text_format(
            advice, sizeof advice, texts[p].advice, column_of(check->definition, (Problem)p));
#pragma GCC diagnostic pop
        row_text(sink, texts[p].problem);
        row_integer(sink, finding->count);
        row_text(sink, (const char *)first.data);
        row_text(sink, advice);
        bytes_clear(&first);
    }
    return ST_OK;
}

static Status check_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    ModelDefinition definition = {0};
    Check check = {.definition = &definition,
        .users = keymap_new(),
        .items = keymap_new(),
        .days = keymap_new(),
        .newest = -INFINITY,
        .now = (double)time(NULL)};
    Status status = check.users && check.items && check.days
        ? definition_find(&definition, db, value_text(argv[0]), err)
        : fail_nomem(err, "the check");
    if (status == ST_OK) status = check_all(&check, err);
    if (status == ST_OK) status = emit(&check, sink, err);
    for (int p = 0; p < N_PROBLEMS; p++) bytes_clear(&check.finding[p].examples);
    keymap_free(check.users);
    keymap_free(check.items);
    keymap_free(check.days);
    mem_free(check.user);
    mem_free(check.item);
    definition_clear(&definition);
    return status;
}

int register_check_events(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_check_events",
        .columns = "problem TEXT, count INTEGER, first TEXT, advice TEXT",
        .n_columns = 4,
        .arguments = ", model_name HIDDEN",
        .n_arguments = 1,
        .n_required = 1,
        .fill = check_fill,
    };
    return row_table_register(db, &table);
}
