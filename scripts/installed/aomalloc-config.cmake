# aomalloc::aomalloc  the shared library, which replaces the program's malloc
# aomalloc::static    AO_malloc alone, beside the program's own malloc
if(NOT TARGET aomalloc::aomalloc)
  add_library(aomalloc::aomalloc SHARED IMPORTED)
  set_target_properties(aomalloc::aomalloc PROPERTIES
    IMPORTED_LOCATION "@LIBDIR@/libaomalloc.so"
    IMPORTED_SONAME "libaomalloc.so"
    INTERFACE_INCLUDE_DIRECTORIES "@INCLUDEDIR@")

  include(CMakeFindDependencyMacro)
  find_dependency(Threads)
  add_library(aomalloc::static STATIC IMPORTED)
  set_target_properties(aomalloc::static PROPERTIES
    IMPORTED_LOCATION "@LIBDIR@/libaomalloc.a"
    INTERFACE_LINK_LIBRARIES Threads::Threads
    INTERFACE_INCLUDE_DIRECTORIES "@INCLUDEDIR@")
endif()
