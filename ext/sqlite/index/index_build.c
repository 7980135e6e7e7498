/* Building the structure of a rec_index over its present rows: optimize, rebuild and train. */
#include <string.h>

#include "../../base/memory.h"
#include "../host/device_copy.h"
#include "../host/sql.h"
#include "index.h"

/* Multiplications an element of a row that is built into an IVF: it meets some thousand
 * centroids. */
enum { BUILD_WORK = 1024 };

static Status drop_segment(IndexTable *table, Err *err) {
    TRY(sql_execute(table->db, err, "DELETE FROM \"%w\".\"%w_config\" WHERE key='segment_seq'",
        table->schema, table->name));
    return sql_execute(
        table->db, err, "DELETE FROM \"%w\".\"%w_segment\"", table->schema, table->name);
}

/* The log begins anew: nobody's loaded copy fits it any more, so that everybody loads what is there
 * now. */
static Status restart_log(IndexTable *table, Err *err) {
    TRY(drop_segment(table, err));
    TRY(sql_execute(table->db, err, "DELETE FROM \"%w\".\"%w\"", table->schema, table->log));
    return sql_execute(table->db, err, "INSERT INTO \"%w\".\"%w\"(stamp) VALUES(randomblob(16))",
        table->schema, table->log);
}

/* From the loaded structure, if it has one of this kind: rows that did not change keep their place
 * in it. */
static Status extend(IndexTable *table, IndexBase *base, Task *task, Err *err) {
    const IndexBase *old = table->loaded;
    if (!base->index.engine->extend || old->index.engine != base->index.engine) return ST_OK;
    int64_t *position = mem_array((size_t)base->vectors.n, sizeof *position);
    if (!position) return fail_nomem(err, "the index");
    for (int64_t i = 0; i < base->vectors.n; i++) {
        int64_t at = index_base_position(old, base->id[i]);
        position[i] = at >= 0 && ann_allows(table->overlay.live, at) ? at : -1;
    }
    Status status = base->index.engine->extend(&base->index, &old->index, position, task, err);
    mem_free(position);
    return status;
}

/* On a GPU where that is asked for and the structure can be built there. */
static Status build_anew(AnnIndex *index, DeviceChoice device, Task *task, Err *err) {
    const AnnVectors *vectors = index->vectors;
    Err own = {0};
    if (!gpu_is_ivf(index) ||
        !device_is_worth(device, (double)vectors->n * (double)vectors->dim * BUILD_WORK))
        return index->engine->build(index, task, err);
    Status status = gpu_build(index, device.number, task, &own);
    if (device_gave_up(device, status, &own)) return index->engine->build(index, task, err);
    if (status != ST_OK && err) *err = own;
    return status;
}

/* Too few rows to train on, or vectors too long for FAISS: the table goes on searching exactly.
 * `train` says so instead. */
static Status build_structure(IndexTable *table, IndexBase *base, const char *factory,
    BuildKind kind, DeviceChoice device, Task *task, Err *err) {
    index_use_engine(base, factory);
    base->index.build_ef = table->build_ef;
    if (kind == BUILD_OPTIMIZE) TRY(extend(table, base, task, err));
    if (base->index.state) return ST_OK;
    Status status = build_anew(&base->index, device, task, err);
    if (status != ST_BADARG || kind == BUILD_TRAIN) return status;
    return index_build_base(table, base, "exact", err);
}

Status index_view_build(
    IndexTable *table, BuildKind kind, DeviceChoice device, Task *task, Err *err) {
    IndexBase *base = NULL;
    int anew = kind != BUILD_OPTIMIZE;
    if (anew) index_view_clear(table);
    else TRY(index_view_sync(table, err));
    TRY(index_load_rows(table, &base, err));
    const char *factory = ann_resolve(table->factory, base->vectors.n, table->dim);
    Status status = strcmp(factory, "exact") != 0
        ? build_structure(table, base, factory, kind, device, task, err)
        : index_build_base(table, base, factory, err);
    int has_structure = base->index.engine != &ann_exact_engine;
    /* From here on it writes. The change that activates the new structure comes before it, so that
     * no loaded copy with the same stamp lacks it. */
    if (status == ST_OK && anew) status = restart_log(table, err);
    if (status == ST_OK && !anew)
        status = sql_execute(table->db, err,
            "INSERT INTO \"%w\".\"%w\"(stamp) VALUES(randomblob(16))", table->schema, table->log);
    if (status == ST_OK) status = index_state(table, &base->seq, base->stamp, err);
    if (status == ST_OK)
        status = has_structure ? index_segment_write(table, base, err) : drop_segment(table, err);
    if (status == ST_OK) return index_use_base(table, base, err);
    index_base_free(base);
    return status;
}
