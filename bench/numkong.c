// The kernel that usearch compares vectors with, behind one function for bench/kernels.zig. It is
// compiled for this machine, with NumKong's headers from the usearch package: see numkong.ts.

#include <stddef.h>

#include <numkong/dot.h>

// Apart, for usearch calls its kernel through a pointer, once for each pair of vectors.
__attribute__((noinline)) static double one_pair(float const *a, float const *b, size_t n) {
    nk_f64_t result;
    nk_dot_f32(a, b, n, &result);
    return result;
}

void numkong_dot_rows(float const *query, char const *rows, size_t stride, size_t count, size_t n,
                      float *out) {
    for (size_t i = 0; i < count; i++)
        out[i] = (float)one_pair(query, (float const *)(rows + i * stride), n);
}
