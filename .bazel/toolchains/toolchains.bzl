"""Compilers other than the one that Bazel finds by itself."""

load("@bazel_tools//tools/cpp:unix_cc_toolchain_config.bzl", "cc_toolchain_config")

def toolchain(name, cpu, compiler, command, binutils, include_directories):
    """One compiler with its linker.

    Args:
      name: of the cc_toolchain
      cpu: what it makes code for, as Bazel calls it
      compiler: its name, for --compiler
      command: what is called to compile and link
      binutils: what their names begin with
      include_directories: where it looks by itself
    """
    native.filegroup(name = name + "_files", tags = ["manual"])
    cc_toolchain_config(
        name = name + "_config",
        abi_libc_version = "local",
        abi_version = "local",
        compile_flags = [
            "-U_FORTIFY_SOURCE",
            "-Wall",
            "-fno-omit-frame-pointer",
        ],
        compiler = compiler,
        cpu = cpu,
        cxx_builtin_include_directories = include_directories,
        dbg_compile_flags = ["-g"],
        host_system_name = "local",
        link_flags = [
            "-Wl,-no-as-needed",
            "-Wl,-z,relro,-z,now",
        ],
        link_libs = [
            "-lstdc++",
            "-lm",
        ],
        opt_compile_flags = [
            "-O2",
            "-DNDEBUG",
            "-ffunction-sections",
            "-fdata-sections",
        ],
        opt_link_flags = ["-Wl,--gc-sections"],
        tags = ["manual"],
        target_libc = "local",
        target_system_name = "local",
        tool_paths = {
            "gcc": command,
            "cpp": command,
            "ar": binutils + "ar",
            "ld": binutils + "ld",
            "nm": binutils + "nm",
            "objcopy": binutils + "objcopy",
            "objdump": binutils + "objdump",
            "strip": binutils + "strip",
            "gcov": "/bin/false",
            "dwp": "/bin/false",
            "llvm-cov": "/bin/false",
        },
        toolchain_identifier = name,
    )
    native.cc_toolchain(
        name = name,
        all_files = name + "_files",
        ar_files = name + "_files",
        as_files = name + "_files",
        compiler_files = name + "_files",
        dwp_files = name + "_files",
        linker_files = name + "_files",
        objcopy_files = name + "_files",
        strip_files = name + "_files",
        supports_param_files = 1,
        tags = ["manual"],
        toolchain_config = name + "_config",
    )
