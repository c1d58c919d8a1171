// usearch's filtered search, which its JavaScript binding does not offer, behind three functions
// for bench/usearch-filter.ts. It has the kernels of the package's own binary. The predicate is
// compiled into the search: a row is wanted where a byte says so, the least a callback can cost.

#include <cstddef>
#include <cstdint>
#include <utility>

#include <usearch/index_dense.hpp>

using index_t = unum::usearch::index_dense_t;

extern "C" index_t *filtered_open(char const *path) {
    auto made = index_t::make(path, true);
    return made ? new index_t(std::move(made.index)) : nullptr;
}

extern "C" size_t filtered_search(index_t *index, size_t expansion, float const *query,
                                  size_t count, uint8_t const *wanted, uint64_t *keys) {
    index->change_expansion_search(expansion);
    auto is_wanted = [=](index_t::vector_key_t key) noexcept { return wanted[key] != 0; };
    auto found = index->filtered_search(query, count, is_wanted);
    return found ? found.dump_to(keys) : 0;
}

extern "C" void filtered_close(index_t *index) { delete index; }
