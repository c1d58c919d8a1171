//! Whether codes are still worth asking for a query. Data that codes poorly, and a query that is
//! near to everything, are compared in order: each time that twice as many codes were scanned, the
//! newer half has to have saved more than the vectors took that it left.

const SearchCost = @import("search_cost.zig").SearchCost;

pub const CodeWorth = struct {
    /// Rows with codes that were scanned.
    scanned: u64 = 0,
    /// With those that were left out because no row of their blocks is selected.
    passed: u64 = 0,
    /// What both and the looks were when codes were last found worthwhile.
    judged_scanned: u64 = 0,
    judged_passed: u64 = 0,
    judged_looks: u64 = 0,

    /// Nothing is judged before `first` rows were scanned. `all_looks` counts vectors that were
    /// looked at and those that wait for it.
    pub fn isWorthwhile(
        worth: *CodeWorth,
        cost: *const SearchCost,
        first: u64,
        all_looks: u64,
    ) bool {
        if (worth.scanned < @max(first, 2 * worth.judged_scanned)) return true;
        const scanned = worth.scanned - worth.judged_scanned;
        const passed = worth.passed - worth.judged_passed;
        const looks = all_looks -| worth.judged_looks;
        // The first rows are looked at to find out what the others have to reach.
        const is_first = worth.judged_scanned == 0;
        worth.judged_scanned += scanned;
        worth.judged_passed += passed;
        worth.judged_looks += looks;
        return is_first or cost.saves(passed, scanned, looks);
    }
};
