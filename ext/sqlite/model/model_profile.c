#include "model_profile.h"

#include <math.h>
#include <string.h>

#include "../../base/memory.h"

static const double DAY = 86400;

static ProfileEvents events_of(const ModelDefinition *definition, const Dataset *data) {
    return (ProfileEvents){
        data->users, data->items, data->event, data->n_events, definition->time != NULL};
}

Status profile_training(
    Profile *out, const ModelDefinition *definition, const Dataset *data, Err *err) {
    ProfileEvents events = events_of(definition, data);
    return profile_of_events(out, &events, NULL, err);
}

/* Whose lists are looked at: rows with an entry of [from, to); without times, any. */
typedef struct Visitors {
    HistoryRows all;
    double from, to;
} Visitors;

static int came(const Visitors *visitors, int32_t row) {
    const int64_t *start = visitors->all.rows->row_start;
    const double *time = visitors->all.time;
    for (int64_t e = start[row]; e < start[row + 1]; e++)
        if (time[e] >= visitors->from && time[e] < visitors->to) return 1;
    return 0;
}

/* The list of one row. */
static Status add_list(ListProfile *lists, Profile *profile, const Visitors *visitors, int32_t row,
    int covers, Err *err) {
    History history = history_of_row(&visitors->all, row);
    return list_profile_add(lists, profile, &history, covers, err);
}

/* Evenly among those who came. */
static Status add_lists(Profile *profile, const Model *model, const Visitors *visitors, Err *err) {
    const Csr *rows = visitors->all.rows;
    ListProfile lists;
    int64_t n = 0, met = 0, picked = 0;
    for (int32_t row = 0; row < rows->n_rows; row++) n += came(visitors, row);
    int64_t picks = n < PROFILE_LISTS ? n : PROFILE_LISTS;
    Status status = list_profile_begin(&lists, model, err);
    for (int32_t row = 0; row < rows->n_rows && status == ST_OK; row++) {
        if (!came(visitors, row) || !is_picked(met++, n, picks)) continue;
        int covers = picks >= PROFILE_COVERS && is_picked(picked, picks, PROFILE_COVERS);
        picked++;
        status = add_list(&lists, profile, visitors, row, covers, err);
    }
    list_profile_end(&lists, profile);
    return status;
}

Status profile_trained(Profile *profile, Model *model, const Dataset *data, Err *err) {
    Visitors visitors = {dataset_rows(data), profile->last - DAY, INFINITY};
    Bytes json = {0};
    if (profile->first == profile->last) visitors.from = -INFINITY; /* no times */
    TRY(add_lists(profile, model, &visitors, err));
    profile_json(profile, &json);
    bytes_append(&json, "", 1);
    mem_free(model->trained_on);
    model->trained_on = json.failed ? NULL : mem_text((const char *)json.data, json.len - 1);
    bytes_clear(&json);
    return model->trained_on ? ST_OK : fail_nomem(err, "what it was trained on");
}

static Status add_lists_now(
    Profile *out, const Model *model, EventsReader *reader, double from, double to, Err *err) {
    AllHistories all;
    HistoryRules rules = history_rules(model);
    rules.has_until = 1;
    rules.until = to;
    TRY(events_read_histories(reader, model, &rules, &all, err));
    Visitors visitors = {{&all.rows, all.time, all.visit, all.visit_start}, from, to};
    Status status = add_lists(out, model, &visitors, err);
    all_histories_clear(&all);
    return status;
}

Status profile_since(Profile *out, const Model *model, const Profile *reference, double now,
    EventsReader *reader, Err *err) {
    const ModelDefinition *definition = reader->definition;
    ProfileSince since = {reference, now};
    Dataset data = {0};
    Status status = dataset_init(&data, err);
    if (status == ST_OK) status = events_read_all(reader, definition, 0, 0, &data, err);
    ProfileEvents events = events_of(definition, &data);
    if (status == ST_OK) status = profile_of_events(out, &events, &since, err);
    dataset_clear(&data);
    if (status != ST_OK || !definition->time || !out->n_days) return status;
    double to = reference->last + (out->skipped + out->n_days) * DAY;
    return add_lists_now(out, model, reader, to - DAY, to, err);
}
