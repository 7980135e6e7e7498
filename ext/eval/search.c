#include "search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"

enum { GRID_STEPS = 4, TPE_DRAWS = 50, DRAWS = 1000 };

typedef struct Proposal {
    const char *name; /* of the tunable */
    char *options;    /* json_dumps' */
    double value;
    int64_t at;
} Proposal;

/* The draws of one tunable. */
typedef struct Explorer {
    Space space;
    Trial *known; /* of those with a place and a value */
    int64_t n_known;
    int64_t grid_at;
    int exhausted;
} Explorer;

typedef struct Search {
    const SearchRules *rules;
    const SearchHost *host;
    Explorer explorer[SEARCH_MAX_TUNABLES];
    int n;
    Proposal *candidate;
    int64_t n_candidates;
    double share; /* of the users, in this round */
} Search;

static int is_new(const Search *s, const char *options) {
    for (int64_t i = 0; i < s->n_candidates; i++)
        if (strcmp(s->candidate[i].options, options) == 0) return 0;
    return 1;
}

/* One draw; 0: the grid has ended. Where TPE has nothing new to say, chance has. */
static int draw(const Search *s, Explorer *e, int tries, Random *random, double *place,
    Status *status, Err *err) {
    const Space *space = &e->space;
    if (s->rules->sampler == SEARCH_GRID)
        return sampler_grid(e->grid_at++, GRID_STEPS, space->dimension, space->n, place);
    if (s->rules->sampler == SEARCH_RANDOM || tries >= TPE_DRAWS)
        sampler_random(random, space->dimension, space->n, place);
    else
        *status = sampler_tpe(random, space->dimension, space->n, e->known, e->n_known, place, err);
    return 1;
}

/* A setting that was not tried; *options NULL: there is none. Its chances hang on the seed and on
 * i, the number of the trial. */
static Status propose(
    const Search *s, Explorer *e, int64_t i, double *place, char **options, Err *err) {
    Random random;
    Status status = ST_OK;
    *options = NULL;
    random_init(&random, s->rules->seed, (uint64_t)i);
    for (int tries = 0; tries < DRAWS || s->rules->sampler == SEARCH_GRID; tries++) {
        if (!draw(s, e, tries, &random, place, &status, err)) return ST_OK;
        TRY(status);
        char *setting = space_setting(&e->space, place);
        if (!setting) return fail_nomem(err, "the trials");
        if (is_new(s, setting)) {
            *options = setting;
            return ST_OK;
        }
        free(setting);
    }
    return ST_OK;
}

static Status judge(Search *s, Proposal *c, Err *err) {
    return s->host->judge(s->host->context, c->name, c->options, s->share, &c->value, err);
}

static Status try_next(Search *s, int64_t i, Err *err) {
    Explorer *e = &s->explorer[i % s->n];
    double place[SAMPLER_MAX_DIMENSIONS];
    int as_it_is = s->n > 1 && i < s->n;
    char *options;
    if (e->exhausted) return ST_OK;
    if (!as_it_is) TRY(propose(s, e, i, place, &options, err));
    else if (!(options = space_setting(&e->space, NULL))) return fail_nomem(err, "the trials");
    if (!options) {
        e->exhausted = 1;
        return ST_OK;
    }
    Proposal *c = &s->candidate[s->n_candidates];
    *c = (Proposal){e->space.tunable.name, options, NAN, s->n_candidates};
    s->n_candidates++;
    TRY(judge(s, c, err));
    if (isnan(c->value) || as_it_is) return ST_OK;
    memcpy(e->known[e->n_known].place, place, sizeof place);
    e->known[e->n_known++].value = c->value;
    return ST_OK;
}

static int best_first(const void *a, const void *b) {
    const Proposal *x = a, *y = b;
    if (isnan(x->value) != isnan(y->value)) return isnan(x->value) ? 1 : -1;
    if (!isnan(x->value) && x->value != y->value) return x->value > y->value ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Those with a value, the better ones first; of n one in `halving` goes on. Where so few users give
 * none a value, more may. */
static int64_t promoted(Search *s, int64_t n) {
    int64_t valued = 0;
    qsort(s->candidate, (size_t)n, sizeof *s->candidate, best_first);
    while (valued < n && !isnan(s->candidate[valued].value)) valued++;
    return ((valued ? valued : n) + s->rules->halving - 1) / s->rules->halving;
}

/* What all settings of a single tunable have to beat. */
static Status judge_defaults(const Search *s, Err *err) {
    double value;
    char *options = space_setting(&s->explorer[0].space, NULL);
    if (!options) return fail_nomem(err, "the trials");
    Status status = s->host->judge(
        s->host->context, s->explorer[0].space.tunable.name, options, 1, &value, err);
    free(options);
    return status;
}

static Status run(Search *s, Err *err) {
    const SearchRules *r = s->rules;
    int rounds = !r->halving ? 1
        : r->least_share > 0
        ? 1 + (int)floor(log(1 / r->least_share) / log((double)r->halving) + 1e-9)
        : 2;
    s->share = r->halving ? pow((double)r->halving, 1 - rounds) : 1;
    if (s->n == 1) TRY(judge_defaults(s, err));
    for (int64_t i = 0; i < r->trials; i++) {
        if (s->host->enough(s->host->context)) return ST_OK;
        TRY(try_next(s, i, err));
    }
    int64_t n = s->n_candidates;
    for (int round = 1; round < rounds; round++) {
        n = promoted(s, n);
        s->share = pow((double)r->halving, round + 1 - rounds);
        for (int64_t i = 0; i < n; i++) {
            if (s->host->enough(s->host->context)) return ST_OK;
            TRY(judge(s, &s->candidate[i], err));
        }
    }
    return ST_OK;
}

Status search_settings(const SearchRules *rules, const Tunable *tunable, int n_tunables,
    json_t *space, const SearchHost *host, Err *err) {
    Search s = {.rules = rules, .host = host, .n = n_tunables};
    Status status = n_tunables <= SEARCH_MAX_TUNABLES
        ? ST_OK
        : fail(err, ST_BADARG, "more than %d algorithms", SEARCH_MAX_TUNABLES);
    for (int i = 0; status == ST_OK && i < n_tunables; i++) {
        status = space_init(&s.explorer[i].space, &tunable[i], space, err);
        s.explorer[i].known = mem_array(
            (size_t)(rules->trials / n_tunables + 1), sizeof *s.explorer[i].known);
        if (status == ST_OK && !s.explorer[i].known) status = fail_nomem(err, "the trials");
    }
    s.candidate = mem_zeros((size_t)rules->trials, sizeof *s.candidate);
    if (status == ST_OK && !s.candidate) status = fail_nomem(err, "the trials");
    if (status == ST_OK) status = run(&s, err);
    for (int64_t i = 0; i < s.n_candidates; i++) free(s.candidate[i].options);
    for (int i = 0; i < n_tunables && i < SEARCH_MAX_TUNABLES; i++) {
        space_clear(&s.explorer[i].space);
        mem_free(s.explorer[i].known);
    }
    mem_free(s.candidate);
    return status;
}
