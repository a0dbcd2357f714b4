"""A test that runs real programs with and without the library."""

def program_test(name, script = None, data = [], tags = [], **kwargs):
    native.sh_test(
        name = name,
        srcs = [script or name + ".sh"],
        data = [
            "//test/programs:common.sh",
            "//preload:libaomalloc.so",
        ] + data,
        tags = ["nosan"] + tags,
        **kwargs
    )
