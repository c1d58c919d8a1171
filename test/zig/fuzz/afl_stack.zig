//! A variable that instrumented code writes the depth of its stack to. AFL++ does not ask for it and
//! does not bring it; the compiler wants it to be of another object.

export threadlocal var __sancov_lowest_stack: usize = ~@as(usize, 0);
