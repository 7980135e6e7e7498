/* The list of one user, item or cart: of one version, or drawn from two, with what chance did. */
#include "model_subject.h"

#include <string.h>

#include "../../base/bits.h"
#include "../../base/memory.h"
#include "../../serve/interleave.h"

const char TEAM_A[] = "a", TEAM_B[] = "b";

/* The cart's items as places in the model; -1 for those that it does not know. */
static Status read_basket(OwnedHistory *out, const Model *model, const KeyList *list, Err *err) {
    int32_t *item = mem_array(list->n, sizeof *item);
    if (!item) return fail_nomem(err, "the basket");
    for (size_t i = 0; i < list->n; i++) item[i] = keymap_find(model->items, list->key[i]);
    Status status = history_of_basket(item, (int64_t)list->n, model->n_items, out, err);
    mem_free(item);
    return status;
}

/* Prepare the query for the request's one subject, and leave out what has been seen. *known is 0
 * for an unknown similar_to. */
static Status prepare_subject(ModelTable *table, ModelQuery *query, const Request *request,
    OwnedHistory *history, uint64_t *allowed, int *known, Err *err) {
    const Model *model = query->model;
    *known = 1;
    if (request->subject == SUBJECT_SIMILAR) {
        int32_t item = keymap_find(model->items, request->similar);
        if (model->algorithm->no_similar)
            return fail(
                err, ST_BADARG, "algorithm %s has no similar items", model->algorithm->name);
        *known = item >= 0;
        if (!*known) return ST_OK;
        bits_remove(allowed, item);
        return model_query_similar(query, item, err);
    }
    HistoryRules rules = history_rules_until(model, request->call.until);
    if (request->subject == SUBJECT_BASKET) TRY(read_basket(history, model, &request->basket, err));
    else TRY(events_read_user(&table->reader, model, &rules, request->user, history, err));
    if (request_hides_seen(request, model)) allowed_without_history(allowed, &history->history);
    return model_query_history(query, &history->history, err);
}

/* The list of one user, item or cart. */
static Status list_of_subject(ListRows *out, ModelTable *table, ModelQuery *query,
    const Request *request, uint64_t *allowed, Err *err) {
    OwnedHistory history = {0};
    const int32_t *category = NULL;
    int known = 0;
    Status status = prepare_subject(table, query, request, &history, allowed, &known, err);
    if (status == ST_OK && known && !request->has_candidates)
        status = model_categories(table, query->model, &request->call.rerank, &category, err);
    if (status == ST_OK && known)
        status = model_list_rows(out, query, request, allowed, category, err);
    for (size_t i = 0; request->because && i < out->n && status == ST_OK; i++)
        status = model_explain(&out->row[i], query, request->subject, err);
    query->history = (History){0}; /* ours is about to go */
    owned_history_clear(&history);
    return status;
}

/* All of it by one version. The caller's request says how long it is. */
static Status list_of_version(ListRows *out, ModelTable *table, const Answering *answering,
    const Request *request, Err *err) {
    uint64_t *allowed = NULL;
    Status status = allowed_of_request(
        &allowed, request, answering->model, &table->definition, err);
    if (status == ST_OK)
        status = list_of_subject(out, table, answering->query, request, allowed, err);
    mem_free(allowed);
    return status;
}

/* ---- drawing ---- */

/* A list whose places chance may change is made whole, then looked at for item =. */
static Request whole_list(const Request *request) {
    Request whole = *request;
    whole.has_item = 0;
    return whole;
}

static void keep_asked_item(ListRows *rows, const Request *request) {
    size_t kept = 0;
    if (!request->has_item) return;
    for (size_t i = 0; i < rows->n; i++) {
        if (request->item_is_key && key_compare(rows->row[i].item, request->item) == 0)
            rows->row[kept++] = rows->row[i];
        else mem_free(rows->row[i].because);
    }
    rows->n = kept;
}

typedef struct Coins {
    Key unit;
    char salt[2 * ROUTE_NAME];
    int failed;
} Coins;

static Coins coins_of(const ModelTable *table, const Request *request, char *buffer) {
    Coins coins = {.unit = {.text = ""}};
    if (!answer_unit(table, request, buffer, &coins.unit)) coins.unit = (Key){.text = ""};
    sqlite3_snprintf(sizeof coins.salt, coins.salt, "draw:%s", request->call.draw);
    return coins;
}

/* Coins that nobody in particular tosses come out the same for all: they are no chance. */
static int has_coins(const ModelTable *table, const Request *request) {
    char buffer[KEY_BUFFER];
    Key unit;
    return answer_unit(table, request, buffer, &unit) || *request->call.draw;
}

static uint64_t toss(Coins *coins, uint64_t draw) {
    uint64_t hash = 0;
    coins->failed |= !route_hash(coins->unit, coins->salt, draw, &hash);
    return hash;
}

static int coin(void *context, uint64_t round) { return (int)(toss(context, round + 1) >> 63); }

/* The items of a list as ids that both lists share. */
static Status shared_ids(KeyMap *shared, const ListRows *rows, int32_t *id, Err *err) {
    for (size_t i = 0; i < rows->n; i++) TRY(keymap_add(shared, rows->row[i].item, &id[i], err));
    return ST_OK;
}

/* Two lists on their way into one. */
typedef struct Draft {
    ListRows list[2];
    int32_t *id[2];
    KeyMap *shared;
    unsigned char *scratch;
    TeamPick *pick;
    double propensity[TEAM_DRAFT_EXACT];
} Draft;

static void draft_clear(Draft *draft) {
    for (int team = 0; team < 2; team++) {
        list_rows_clear(&draft->list[team]);
        mem_free(draft->id[team]);
    }
    keymap_free(draft->shared);
    mem_free(draft->scratch);
    mem_free(draft->pick);
}

static Status draft_prepare(Draft *draft, size_t k, Err *err) {
    draft->shared = keymap_new();
    draft->pick = mem_array(k, sizeof *draft->pick);
    if (!draft->shared || !draft->pick) return fail_nomem(err, "the two lists");
    for (int team = 0; team < 2; team++) {
        draft->id[team] = mem_array(draft->list[team].n, sizeof *draft->id[team]);
        if (!draft->id[team]) return fail_nomem(err, "the two lists");
        TRY(shared_ids(draft->shared, &draft->list[team], draft->id[team], err));
    }
    draft->scratch = mem_zeros((size_t)keymap_count(draft->shared) + 1, 1);
    return draft->scratch ? ST_OK : fail_nomem(err, "the two lists");
}

/* The drawn rows move into *out. */
static Status draft_rows(ListRows *out, Draft *draft, size_t n, size_t exact, Err *err) {
    TRY(list_rows_reserve(out, n, err));
    for (size_t i = 0; i < n; i++) {
        ListRow *from = &draft->list[draft->pick[i].team].row[draft->pick[i].at],
                *to = &out->row[out->n++];
        *to = *from;
        from->because = NULL;
        to->rank = (sqlite3_int64)i + 1;
        to->team = draft->pick[i].team ? TEAM_B : TEAM_A;
        to->propensity = i < exact ? draft->propensity[i] : -1;
    }
    return ST_OK;
}

static Status interleave(ListRows *out, ModelTable *table, const Request *request,
    const Answering *a, const Answering *b, Err *err) {
    Request whole = whole_list(request);
    Draft draft = {0};
    char buffer[KEY_BUFFER];
    Coins coins = coins_of(table, request, buffer);
    size_t n = 0, exact = 0;
    Status status = list_of_version(&draft.list[0], table, a, &whole, err);
    if (status == ST_OK) status = list_of_version(&draft.list[1], table, b, &whole, err);
    size_t k = (size_t)rows_wanted(&request->wanted, (int64_t)(draft.list[0].n + draft.list[1].n));
    if (status == ST_OK) status = draft_prepare(&draft, k, err);
    if (status == ST_OK) {
        Ranking team[2] = {{draft.id[0], draft.list[0].n}, {draft.id[1], draft.list[1].n}};
        n = team_draft(draft.pick, k, team, coin, &coins, draft.scratch);
        if (request->propensity && has_coins(table, request))
            exact = n < TEAM_DRAFT_EXACT ? n : TEAM_DRAFT_EXACT;
        team_draft_propensity(draft.propensity, exact, draft.pick, team, draft.scratch);
        status = coins.failed ? fail_nomem(err, "the coins")
                              : draft_rows(out, &draft, n, exact, err);
    }
    draft_clear(&draft);
    return status;
}

/* ---- a place swapped, and how often each item comes to its place ---- */

static Status swap_places(ListRows *rows, ModelTable *table, const Request *request, Err *err) {
    char buffer[KEY_BUFFER];
    Coins coins = coins_of(table, request, buffer);
    int64_t n = request->call.swap < (int64_t)rows->n ? request->call.swap : (int64_t)rows->n;
    if (n < 2) return ST_OK;
    /* 64 random bits over a few places: the bias is below 2^-53 */
    size_t place = (size_t)(toss(&coins, 0) % (uint64_t)n);
    if (coins.failed) return fail_nomem(err, "the draw");
    ListRow first = rows->row[0];
    rows->row[0] = rows->row[place];
    rows->row[place] = first;
    for (size_t i = 0; i < rows->n; i++) rows->row[i].rank = (sqlite3_int64)i + 1;
    return ST_OK;
}

/* An arm's part in how the rows came to their places: share times the chance of its swap. */
static Status add_arm(
    ListRows *rows, const ListRows *arm, const Request *request, double share, Err *err) {
    int64_t n = request->call.swap < (int64_t)arm->n ? request->call.swap : (int64_t)arm->n;
    KeyMap *place = keymap_new();
    int32_t id;
    Status status = place ? ST_OK : fail_nomem(err, "the places");
    for (size_t i = 0; i < arm->n && status == ST_OK; i++)
        status = keymap_add(place, arm->row[i].item, &id, err);
    for (size_t i = 0; i < rows->n && status == ST_OK; i++) {
        int64_t rank = keymap_find(place, rows->row[i].item) + 1;
        rows->row[i].propensity += share * swap_propensity(rank, rows->row[i].rank, n);
    }
    keymap_free(place);
    return status;
}

/* The list that an answering version would have given her, and how likely that was. */
static Status add_answer(ListRows *rows, ModelTable *table, const Request *request,
    const Answering *answering, double share, Err *err) {
    Request plain = whole_list(request);
    ListRows other = {0};
    plain.because = 0;
    Status status = list_of_version(&other, table, answering, &plain, err);
    if (status == ST_OK) status = add_arm(rows, &other, request, share, err);
    list_rows_clear(&other);
    return status;
}

static Status add_share(
    ListRows *rows, ModelTable *table, const Request *request, int arm, double share, Err *err) {
    Answering answering;
    if (share <= 0) return ST_OK;
    Status status = answer_arm(table, arm, &answering, err);
    if (status == ST_OK) status = add_answer(rows, table, request, &answering, share, err);
    answer_give_back(table, &answering);
    return status;
}

/* Over all arms that the asker might have been in. What is answered by name has one. */
static Status set_propensities(ListRows *rows, ModelTable *table, const Request *request,
    const Answering *answering, Err *err) {
    const Experiment experiment = table->live.live.experiment;
    double left = 1;
    int is_unknown = request->call.swap > 1 && !has_coins(table, request);
    for (size_t i = 0; i < rows->n; i++) rows->row[i].propensity = is_unknown ? -1 : 0;
    if (is_unknown) return ST_OK;
    if (!answering->is_routed) return add_answer(rows, table, request, answering, 1, err);
    for (int i = 0; i < experiment.n; i++) {
        double share = (double)experiment.arm[i].share / ROUTE_WHOLE;
        TRY(add_share(rows, table, request, i, share, err));
        left -= share;
    }
    return left > 1e-9 ? add_share(rows, table, request, -1, left, err) : ST_OK;
}

/* ---- the answer ---- */

static Status draw_one(ListRows *out, ModelTable *table, const Request *request,
    const Answering *answering, Err *err) {
    Request whole = whole_list(request);
    int is_drawn = request->call.swap > 1;
    TRY(list_of_version(out, table, answering, is_drawn ? &whole : request, err));
    if (is_drawn) TRY(swap_places(out, table, request, err));
    if (request->propensity) TRY(set_propensities(out, table, request, answering, err));
    if (is_drawn) keep_asked_item(out, request);
    return ST_OK;
}

Status answer_subject(ListRows *out, ModelTable *table, const Request *request,
    Answering *answering, Answering *other, Err *err) {
    if (*request->call.interleave && request->call.swap)
        return fail(err, ST_BADARG, "give one of interleave and swap");
    TRY(answer_request(table, request, answering, err));
    if (!*request->call.interleave) return draw_one(out, table, request, answering, err);
    TRY(answer_version(table, request->call.interleave, other, err));
    TRY(interleave(out, table, request, answering, other, err));
    keep_asked_item(out, request);
    return ST_OK;
}
