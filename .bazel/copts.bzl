"""Compiler options of everything that is loaded into a host program."""

AOMALLOC_COPTS = [
    "-std=c++17",
    "-fPIC",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Werror",

    # A C program needs no C++ runtime because of us.
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-threadsafe-statics",

    # Calls among ourselves cannot be interposed, and thread-local variables
    # are reached without __tls_get_addr, which allocates.
    "-fvisibility=hidden",
    # What is exported can be, and is called by whatever the program has there.
    "-fsemantic-interposition",
    "-ftls-model=initial-exec",

    # The compiler knows what malloc does: it would make calloc of our
    # malloc-then-memset, which is calloc calling itself.
    "-fno-builtin-malloc",
    "-fno-builtin-calloc",
    "-fno-builtin-realloc",
    "-fno-builtin-free",
    "-fno-builtin-aligned_alloc",
    "-fno-builtin-memalign",
    "-fno-builtin-posix_memalign",
    "-fno-builtin-reallocarray",
    "-fno-builtin-valloc",
    "-fno-builtin-pvalloc",
    "-fno-builtin-strdup",
    "-fno-builtin-strndup",

    # Bazel's toolchain keeps it; it costs a register.
    "-fomit-frame-pointer",

    # The shorter the way through the lines of the instruction cache, the faster:
    # a pair of malloc and free by a twentieth.
    "-falign-functions=64",

    # The checked variants of memcpy and kin print and abort through stdio.
    "-U_FORTIFY_SOURCE",
] + select({
    # The claim is in the way of every call: a compare-and-swap in line, not one
    # in a function that looks which kind the processor has. That is learnt in
    # a constructor, too, and we are called before any.
    "//:aarch64": ["-mno-outline-atomics"],
    # Everything is bound at load time: a call need not go by way of a stub.
    # (Elsewhere calls among ourselves would go by way of a table.)
    "//conditions:default": ["-fno-plt"],
})
