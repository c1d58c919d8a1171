//! Every maximum of the engine, with its reason. A limit that is also written to disk is a promise:
//! raising it is allowed, lowering it would make files unreadable.

/// A key is at most this many bytes of UTF-8: long enough for a whole prompt as the key, short
/// enough that a record always fits an extent.
pub const key_bytes_max: u32 = 64 * 1024;

/// One row's metadata. Bounded so that one record fits the largest extent with room to spare.
pub const metadata_bytes_max: u32 = 16 * 1024 * 1024;

/// Larger than any embedding model known (the largest give 4,096 to 16,384 dimensions).
pub const dimension_max: u32 = 65_536;

/// What a new collection has where the caller says nothing: the width of the embeddings that most
/// people store (OpenAI's ada-002 and text-embedding-3-small).
pub const dimension_default: u32 = 1536;

pub const collection_name_bytes_max: u32 = 255;
pub const model_bytes_max: u32 = 1000;

/// One level of the catalogue's array; opening a collection reads the catalogue in order.
pub const collections_max: u32 = 65_536;

/// Transactions are counted up to here: the lock byte of each is in the range of the snapshots, and
/// nothing that is counted with them comes near the end of its integer. Honest files never do.
pub const transaction_max: u64 = 1 << 60;

/// At one time: 24 bits of a location.
pub const segments_max: u32 = 1 << 24;

/// Segments that one id can have before a location may come again: 24 bits of a location.
pub const generations_max: u32 = 1 << 24;

/// Rows of one segment: its tombstones then fit three pages.
pub const segment_rows_max: u32 = 64 * 1024;

/// The first segment of a collection, so that a cache of a few vectors is a small file.
pub const segment_rows_min: u32 = 64;

/// The vectors of one segment, so that an extent never needs a large contiguous hole.
pub const segment_vector_bytes_max: u64 = 64 * 1024 * 1024;

/// A segment that runs out of heap extents is sealed early.
pub const heap_extents_max: u32 = 64;
pub const heap_extent_bytes_max: u64 = 64 * 1024 * 1024;

/// Dirty index pages held in memory by one transaction (32 MiB) before they are written early: the
/// whole index of a million keys, since a bulk load in random order touches all of it all the time.
pub const dirty_pages_max: u32 = 8192;

/// Private, verified copies of index pages: 2 MiB.
pub const cached_pages_max: u32 = 512;

/// `normal` durability: power loss costs at most this much time or this many bytes.
pub const checkpoint_interval_ms: u64 = 1000;
pub const checkpoint_bytes: u64 = 16 * 1024 * 1024;

/// Dead rows may be one for so many live ones, and a few more, before writers move rows. Of a file
/// with a maximum these few are one part of so many.
pub const dead_rows_part: u64 = 5;
pub const dead_rows_min: u64 = 64;
pub const dead_part: u64 = 32;

/// A writer that buries a row moves at most so many. From segments that are a fifth dead, four
/// moves make room for one row, so this keeps up.
pub const moves_per_buried_row: u32 = 4;

/// Results of one search.
pub const k_max: u32 = 1 << 20;

/// Pages that wait before a writer asks which readers still hold them: asking costs system calls.
pub const reclaim_pages_min: u64 = 64;

/// Old durable roots are let go before the file grows, where the pages that wait for them are so
/// many (512 KiB), and one for so many that are in use: it costs up to four syncs.
pub const relief_pages_min: u64 = 128;
pub const relief_part: u64 = 16;

/// The same of a file that is nearly as large as it may be.
pub const relief_part_full: u64 = 64;

/// Below this size, in hundredths of what was in use when the transaction began, the file grows
/// first: a larger file needs relief less often.
pub const relief_file_percent: u64 = 130;

/// One transaction moves at most one row for so many live ones: the room that moving makes is there
/// only after the commit.
pub const moved_rows_part: u64 = 4;

/// Of a block of columns. What is left out is looked up in the documents of the rows, so these only
/// keep a block of odd documents from being larger than it is worth.
pub const column_fields_max: u32 = 512;
pub const column_block_bytes_max: u32 = 1024 * 1024;

/// Elements of one array in a column, and bytes of the distinct ones of all arrays, whose places
/// are two bytes.
pub const column_elements_max: u32 = 64;
pub const column_dictionary_bytes_max: u32 = 65_535;

/// The bytes of one filter: room for an `in` of a hundred thousand keys.
pub const filter_bytes_max: u32 = 1024 * 1024;

/// Nodes of a filter on the way from its root to a leaf. Evaluating it is recursion, on the stack
/// of whatever thread searches.
pub const filter_depth_max: u32 = 64;

/// Replacing metadata leaves the old record in its segment. Where that would be more than one byte
/// for so many of the segment, the row is written anew, and the segment is compacted some day.
pub const amended_part: u64 = 12;

/// A heap extent that amendments begin is one byte for so many of the segment: all that they may
/// waste then fits a few extents.
pub const amended_extent_part: u64 = 24;

/// Rows of a block that were amended before its columns are made anew: until then a filter looks
/// at their documents.
pub const stale_rows_max: u32 = 16;
