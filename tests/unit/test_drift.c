/* Drift: quiet replicas stay quiet at the stated rate, planted changes are found within a day. */
#include <string.h>

#include "../../ext/base/memory.h"
#include "../../ext/base/random.h"
#include "../../ext/eval/drift.h"
#include "check.h"

enum { USERS = 3000, ITEMS = 400, DAYS = 70, PER_DAY = 300, REPLICAS = 200 };

/* What changes on the last day. */
typedef enum Change {
    NONE,
    MORE,
    FEWER,
    OTHER_ITEMS,
    BUSIER,
    HEAVIER,
    STRANGERS,
    NEWCOMERS
} Change;

typedef struct Shop {
    KeyMap *users, *items;
    Event *event;
    int64_t n;
} Shop;

static void add(Shop *shop, int64_t user, int64_t item, double weight, double time) {
    Err err = {0};
    Event *event = &shop->event[shop->n++];
    keymap_add(shop->users, (Key){.integer = user}, &event->user, &err);
    keymap_add(shop->items, (Key){.integer = item}, &event->item, &err);
    event->weight = weight;
    event->time = time;
}

/* Long-tailed items, users who come and go, more on some days of a week, and noise of its own from
 * day to day. */
static void add_day(Shop *shop, Random *random, int day, Change change) {
    double swing = exp(.15 * random_normal(random)) * (1 + .3 * sin(day * 6.283185307 / 7));
    int visits = (int)(PER_DAY * swing / 3);
    if (change == MORE) visits *= 4;
    if (change == FEWER) visits /= 5;
    for (int i = 0; i < visits; i++) {
        int64_t user = (int64_t)(USERS * pow(random_uniform(random), 2)) + day * 5;
        int n = 1 + (int)random_below(random, 5) * (change == BUSIER ? 4 : 1);
        if (change == STRANGERS) user += 1000000 + (int64_t)random_below(random, 100000);
        double time = (day + random_uniform(random)) * 86400;
        for (int j = 0; j < n && shop->n < DAYS * PER_DAY * 8; j++) {
            int64_t item = (int64_t)(ITEMS * pow(random_uniform(random), 3));
            if (change == OTHER_ITEMS && random_uniform(random) < .25) item = 7;
            if (change == NEWCOMERS && random_uniform(random) < .2)
                item = 5000 + (int64_t)random_below(random, 40);
            double weight = 1 + (double)random_below(random, 4);
            add(shop, user, item, change == HEAVIER ? weight * 4 : weight, time);
        }
    }
}

static void make(Shop *shop, int replica, Change change) {
    Random random;
    random_init(&random, 31, (uint64_t)replica);
    *shop = (Shop){keymap_new(), keymap_new(), mem_array(DAYS * PER_DAY * 8, sizeof(Event)), 0};
    for (int day = 0; day < DAYS; day++)
        add_day(shop, &random, day, day == DAYS - 1 ? change : NONE);
}

static void clear(Shop *shop) {
    keymap_free(shop->users);
    keymap_free(shop->items);
    mem_free(shop->event);
}

/* Of a training on all days but the last one, compared with that. In the first weeks of a shop all
 * users are new: they are not among the days of the reference. */
static void compare(const Shop *shop, DriftRow out[N_DRIFT]) {
    Profile *then = mem_array(1, sizeof *then), *now = mem_array(1, sizeof *now);
    Err err = {0};
    double split = (DAYS - 1) * 86400.;
    int64_t before = 0;
    while (before < shop->n && shop->event[before].time < split) before++;
    ProfileEvents old = {shop->users, shop->items, shop->event, before, 1},
                  all = {shop->users, shop->items, shop->event, shop->n, 1};
    CHECK(profile_of_events(then, &old, NULL, &err) == ST_OK);
    ProfileSince since = {then, then->last + 86400};
    CHECK(profile_of_events(now, &all, &since, &err) == ST_OK);
    CHECK(then->n_days == PROFILE_DAYS && now->n_days == 1);
    drift_compare(then, now, .01, out);
    mem_free(then);
    mem_free(now);
}

TEST(quiet_replicas_stay_quiet) {
    int alarms = 0;
    for (int replica = 0; replica < REPLICAS; replica++) {
        Shop shop;
        DriftRow row[N_DRIFT];
        int alarm = 0;
        make(&shop, replica, NONE);
        compare(&shop, row);
        for (int i = 0; i <= DRIFT_NEW_ITEMS; i++) {
            alarm |= strcmp(row[i].verdict, "drift") == 0;
        }
        alarms += alarm;
        clear(&shop);
    }
    /* 1 % of 200 is 2; 8 and more have a chance of .1 % */
    CHECK(alarms <= 7);
}

TEST(planted_changes_are_found_within_a_day) {
    static const struct {
        Change change;
        DriftInput input;
    } planted[] = {{MORE, DRIFT_EVENTS}, {FEWER, DRIFT_EVENTS}, {OTHER_ITEMS, DRIFT_ITEMS},
        {BUSIER, DRIFT_ACTIVITY}, {HEAVIER, DRIFT_WEIGHTS}, {STRANGERS, DRIFT_NEW_USERS},
        {NEWCOMERS, DRIFT_NEW_ITEMS}};
    for (size_t c = 0; c < sizeof planted / sizeof *planted; c++) {
        int found = 0;
        for (int replica = 0; replica < 20; replica++) {
            Shop shop;
            DriftRow row[N_DRIFT];
            make(&shop, 1000 + replica, planted[c].change);
            compare(&shop, row);
            found += strcmp(row[planted[c].input].verdict, "drift") == 0;
            clear(&shop);
        }
        CHECK(found >= 19);
    }
}

TEST(a_profile_survives_its_text) {
    Shop shop;
    Profile *profile = mem_array(1, sizeof *profile), *back = mem_array(1, sizeof *back);
    Bytes json = {0}, again = {0};
    Err err = {0};
    make(&shop, 5, NONE);
    ProfileEvents events = {shop.users, shop.items, shop.event, shop.n, 1};
    CHECK(profile_of_events(profile, &events, NULL, &err) == ST_OK);
    profile_json(profile, &json);
    bytes_append(&json, "", 1);
    CHECK(profile_parse((const char *)json.data, back, &err) == ST_OK);
    profile_json(back, &again);
    bytes_append(&again, "", 1);
    CHECK(json.len == again.len && memcmp(json.data, again.data, json.len) == 0);
    CHECK(profile_parse("{}", back, &err) == ST_CORRUPT);
    CHECK(profile_parse("[1]", back, &err) == ST_CORRUPT);
    CHECK(profile_parse(NULL, back, &err) == ST_CORRUPT);
    /* the events as a set: their order does not matter, one of them does */
    char one[33], other[33];
    CHECK(profile_fingerprint(&events, one, &err) == ST_OK);
    Event first = shop.event[0];
    shop.event[0] = shop.event[shop.n - 1];
    shop.event[shop.n - 1] = first;
    CHECK(profile_fingerprint(&events, other, &err) == ST_OK && strcmp(one, other) == 0);
    shop.event[0].weight += 1;
    CHECK(profile_fingerprint(&events, other, &err) == ST_OK && strcmp(one, other) != 0);
    bytes_clear(&json);
    bytes_clear(&again);
    mem_free(profile);
    mem_free(back);
    clear(&shop);
}
