//! The engine: an embedded vector database in one file. This is its table of contents; the boundary
//! (c_api.zig) and the tests see what is public here, by the module name `vectorlite`.

pub const os = @import("os/os.zig");
pub const codes = @import("codes.zig");
pub const document = @import("document.zig");
pub const Filter = @import("filter.zig").Filter;
pub const FilterOperator = @import("filter.zig").Operator;
pub const evaluateFilter = @import("filter_columns.zig").evaluate;
pub const ColumnBlock = @import("column_block.zig").Block;
pub const buildColumns = @import("column_builder.zig").build;
pub const row_set = @import("row_set.zig");
pub const format = @import("format.zig");
pub const limits = @import("limits.zig");
pub const roots = @import("roots.zig");
/// Documents and filters for tests.
pub const metadata_writer = @import("metadata_writer.zig");
pub const kernels = @import("kernels/kernels.zig");
/// For keys that are known while they are computed.
pub const keyHash = @import("hash.zig").keyHash;
/// For the memory of large answers.
pub const idle_pages = @import("os/idle_pages.zig");
/// What errors say, for the boundary's own.
pub const sentence = @import("sentence.zig");
/// Sleeping and waking, for the boundary's locks.
pub const parking = @import("os/parking.zig");
/// The file backends: real, memory, simulated.
pub const backends = struct {
    pub const file = @import("os/file.zig");
    pub const memory = @import("os/memory.zig");
    pub const simulated = @import("os/simulated.zig");
};

pub const Error = @import("errors.zig").Error;
pub const Diagnostics = @import("errors.zig").Diagnostics;

pub const Database = @import("database.zig").Database;
pub const DatabaseStats = @import("database.zig").DatabaseStats;
pub const Durability = @import("database.zig").Durability;
pub const Options = @import("database.zig").Options;
pub const Snapshot = @import("database.zig").Snapshot;

pub const Batch = @import("batch.zig").Batch;
pub const catalogue = @import("catalogue.zig");
pub const Collection = @import("collection.zig").Collection;
pub const CollectionStats = @import("collection.zig").CollectionStats;
pub const Hit = @import("search.zig").Hit;
/// For places in the file.
pub const lookup = @import("lookup.zig");
pub const Metric = @import("metrics.zig").Metric;
pub const SearchJob = @import("search_job.zig").SearchJob;
pub const SearchPlan = @import("search.zig").Plan;
pub const SearchReport = @import("search.zig").Report;
pub const Scope = @import("scope.zig").Scope;

pub const Backup = @import("backup.zig").Backup;
pub const Job = @import("job.zig").Job;
pub const JobKind = @import("job.zig").JobKind;
pub const Salvage = @import("salvage.zig").Salvage;
pub const Verify = @import("verify.zig").Verify;
pub const damage = @import("damage.zig");
pub const room = @import("room.zig");
pub const compactStep = @import("compact.zig").step;
pub const Cursor = @import("entries.zig").Cursor;
pub const EntryWriter = @import("entries.zig").EntryWriter;

test {
    _ = @import("adoption.zig");
    _ = @import("appender.zig");
    _ = @import("backup.zig");
    _ = @import("checksum.zig");
    _ = @import("collection.zig");
    _ = @import("collection_audit.zig");
    _ = @import("collection_state.zig");
    _ = @import("column_block.zig");
    _ = @import("column_builder.zig");
    _ = @import("column_reader.zig");
    _ = @import("column_writer.zig");
    _ = @import("compact.zig");
    _ = @import("compaction.zig");
    _ = @import("creation.zig");
    _ = @import("damage.zig");
    _ = @import("database.zig");
    _ = @import("document.zig");
    _ = @import("entries.zig");
    _ = @import("errors.zig");
    _ = @import("filter.zig");
    _ = @import("filter_columns.zig");
    _ = @import("format.zig");
    _ = @import("free_space.zig");
    _ = @import("hash.zig");
    _ = @import("head_audit.zig");
    _ = @import("held_states.zig");
    _ = @import("hot_cache.zig");
    _ = @import("image.zig");
    _ = @import("job.zig");
    _ = @import("kernels/binary_codes_test.zig");
    _ = @import("kernels/hadamard_test.zig");
    _ = @import("kernels/int8_test.zig");
    _ = @import("kernels/kernels.zig");
    _ = @import("kernels/tile_test.zig");
    _ = @import("key_index.zig");
    _ = @import("ledger.zig");
    _ = @import("limits.zig");
    _ = @import("matches.zig");
    _ = @import("metadata_writer.zig");
    _ = @import("metrics.zig");
    _ = @import("older_root_audit.zig");
    _ = @import("open_columns.zig");
    _ = @import("os/conformance.zig");
    _ = @import("os/crew.zig");
    _ = @import("os/file.zig");
    _ = @import("os/memory.zig");
    _ = @import("os/os.zig");
    _ = @import("os/simulated.zig");
    _ = @import("page_array.zig");
    _ = @import("page_cache.zig");
    _ = @import("page_reader.zig");
    _ = @import("page_writer.zig");
    _ = @import("reach.zig");
    _ = @import("read_window.zig");
    _ = @import("roots.zig");
    _ = @import("row_audit.zig");
    _ = @import("row_filter.zig");
    _ = @import("row_set.zig");
    _ = @import("rows.zig");
    _ = @import("salvage.zig");
    _ = @import("salvage_finds.zig");
    _ = @import("salvage_roots.zig");
    _ = @import("salvage_rows.zig");
    _ = @import("salvage_scan.zig");
    _ = @import("salvage_walk.zig");
    _ = @import("search.zig");
    _ = @import("search_job.zig");
    _ = @import("selection.zig");
    _ = @import("snapshot_locks.zig");
    _ = @import("soundness.zig");
    _ = @import("top_k.zig");
    _ = @import("transaction.zig");
    _ = @import("tree_walk.zig");
    _ = @import("verify.zig");
    _ = @import("view.zig");
    _ = @import("wreck.zig");
    _ = @import("write_session.zig");
}
