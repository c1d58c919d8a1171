//! The C ABI as one list: name, implementation, parameters. The exported symbols, the Node-API
//! module and the TypeScript declarations are all made from it, so they cannot disagree.
//!
//! A parameter that is a buffer says in brackets how many elements the function may touch, in terms
//! of the other arguments: `keys[keys_len]`, `cursor[4]`, `hits[count*16]`.

const answer_memory = @import("answer_memory.zig");
const boarder = @import("boarder.zig");
const collection = @import("collection.zig");
const database = @import("database.zig");
const job = @import("job.zig");
const search = @import("search.zig");

pub const list = .{
    .{ "vl_abi_version", &database.abiVersion, "" },
    .{ "vl_last_error", &database.lastError, "out[out_len] out_len len_out[1]" },
    .{ "vl_use_cpu", &database.useCpu, "tier[tier_len] tier_len" },
    .{ "vl_close", &database.close, "handle" },
    .{ "vl_answer_memory", &answer_memory.lend, "bytes addresses_out[2]" },

    .{ "vl_boarder_open", &boarder.open, "handle_out[1]" },
    .{
        "vl_boarder_board",
        &boarder.board,
        "boarder place[place_len] place_len keys[keys_len] keys_len key_lens[count] count " ++
            "seats_out[count] is_pilot_out[count]",
    },
    .{
        "vl_boarder_land",
        &boarder.land,
        "boarder seats[count] count vectors[vectors_len] vectors_len is_stored",
    },
    .{ "vl_boarder_leave", &boarder.leave, "boarder seats[count] count" },
    .{ "vl_boarder_overtake", &boarder.overtake, "boarder seat" },
    .{ "vl_boarder_take", &boarder.take, "boarder out[out_len] out_len answer_out[3]" },

    .{
        "vl_database_open",
        &database.open,
        "path[path_len] path_len options[options_len] options_len handle_out[1]",
    },
    .{ "vl_database_open_bytes", &database.openBytes, "bytes[bytes_len] bytes_len handle_out[1]" },
    .{ "vl_database_flush", &database.flush, "database wait" },
    .{ "vl_database_rest", &database.rest, "database" },
    .{ "vl_database_stats", &database.stats, "database out[out_len] out_len count_out[1]" },
    .{ "vl_database_make_room", &database.makeRoom, "database rows dimension" },
    .{ "vl_database_fit", &database.fit, "database file_bytes" },
    .{ "vl_database_collections", &database.collections, "scope out[out_len] out_len len_out[1]" },
    .{
        "vl_database_drop_collection",
        &database.dropCollection,
        "database name[name_len] name_len",
    },
    .{
        "vl_database_rename_collection",
        &database.renameCollection,
        "database from[from_len] from_len to[to_len] to_len",
    },

    .{ "vl_transaction_begin", &database.begin, "database wait" },
    .{ "vl_transaction_set_aside", &database.setAside, "database is_aside" },
    .{ "vl_transaction_commit", &database.commit, "database" },
    .{ "vl_transaction_rollback", &database.rollback, "database" },

    .{ "vl_snapshot_open", &database.openSnapshot, "database handle_out[1]" },

    .{ "vl_compact_step", &database.stepCompact, "database is_first bytes_max progress_out[2]" },
    .{
        "vl_job_open",
        &job.open,
        "database kind path[path_len] path_len handle_out[1]",
    },
    .{ "vl_job_step", &job.step, "job bytes_max progress_out[2]" },
    .{ "vl_job_result", &job.result, "job out[out_len] out_len len_out[1]" },
    .{
        "vl_search_open",
        &search.open,
        "collection queries[queries_len] queries_len k threshold plan threads " ++
            "filter[filter_len] filter_len handle_out[1]",
    },
    .{
        "vl_search_result",
        &search.result,
        "job hits[hits_len] hits_len counts[counts_len] counts_len report_out[9]",
    },
    .{
        "vl_search_fetch",
        &search.fetch,
        "job hits[count*16] count include out[out_len] out_len len_out[1] " ++
            "vectors[vectors_len] vectors_len",
    },

    .{
        "vl_collection_open",
        &collection.open,
        "scope name[name_len] name_len options[options_len] options_len " ++
            "model[model_len] model_len handle_out[1] info_out[4]",
    },
    .{
        "vl_collection_name",
        &collection.currentName,
        "collection out[out_len] out_len len_out[1]",
    },
    .{ "vl_collection_snapshot", &collection.openSnapshot, "collection handles_out[2]" },
    .{ "vl_collection_model", &collection.model, "collection out[out_len] out_len len_out[1]" },
    .{ "vl_collection_stats", &collection.stats, "collection out[out_len] out_len count_out[1]" },
    .{ "vl_collection_tally", &collection.tally, "collection counts_out[3]" },
    .{
        "vl_collection_put",
        &collection.put,
        "collection keys[keys_len] keys_len key_lens[count] count vectors[vectors_len] " ++
            "vectors_len metadata[metadata_len] metadata_len metadata_lens[count] " ++
            "expiries[count] costs[count]",
    },
    .{
        "vl_collection_get",
        &collection.get,
        "collection key[key_len] key_len out[out_len] out_len",
    },
    .{
        "vl_collection_get_record",
        &collection.getRecord,
        "collection key[key_len] key_len out[out_len] out_len " ++
            "metadata[metadata_cap] metadata_cap metadata_len_out[1]",
    },
    .{
        "vl_collection_get_many",
        &collection.getMany,
        "collection keys[keys_len] keys_len key_lens[count] count " ++
            "out[out_len] out_len found[count]",
    },
    .{ "vl_collection_has", &collection.has, "collection key[key_len] key_len" },
    .{
        "vl_collection_delete",
        &collection.delete,
        "collection keys[keys_len] keys_len key_lens[count] count deleted_out[1]",
    },
    .{ "vl_collection_clear", &collection.clear, "collection" },
    .{
        "vl_collection_set_metadata",
        &collection.setMetadata,
        "collection key[key_len] key_len metadata[metadata_len] metadata_len",
    },
    .{
        "vl_collection_count",
        &collection.countWhere,
        "collection filter[filter_len] filter_len count_out[1]",
    },
    .{
        "vl_collection_delete_where",
        &collection.deleteWhere,
        "collection filter[filter_len] filter_len deleted_out[1]",
    },
    .{ "vl_collection_sweep", &collection.sweep, "collection deleted_out[1]" },
    .{
        "vl_collection_scan",
        &collection.scan,
        "collection cursor[4] include filter[filter_len] filter_len " ++
            "out[out_len] out_len len_out[1] " ++
            "vectors[vectors_len] vectors_len count_out[1]",
    },
    .{
        "vl_collection_search",
        &search.search,
        "collection queries[queries_len] queries_len k threshold plan threads " ++
            "filter[filter_len] filter_len " ++
            "hits[hits_len] hits_len counts[hits_len/16/k] report_out[9]",
    },
    .{
        "vl_collection_fetch",
        &collection.fetch,
        "collection hits[count*16] count include out[out_len] out_len len_out[1] " ++
            "vectors[vectors_len] vectors_len",
    },
};
