# What "make install" copies, and how other projects find it: pkg-config and a CMake package. Paths
# in both are relative to where they lie, so that an installed tree can be moved as a whole.
include(CMakePackageConfigHelpers)

set(DFL_MODELS_DIR ${CMAKE_INSTALL_DATADIR}/driftless/models)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/driftless)
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(TARGETS driftless EXPORT driftlessTargets)
install(EXPORT driftlessTargets NAMESPACE driftless:: DESTINATION ${package_dir})
install(DIRECTORY include/driftless DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS driftless_program)
install(DIRECTORY models/ DESTINATION ${DFL_MODELS_DIR})
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Absolute folders, which some distributions ask for, stay as they are.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY
           ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE DFL_PC_PREFIX)
cmake_path(APPEND DFL_PC_LIBDIR "\${prefix}" "${CMAKE_INSTALL_LIBDIR}")
cmake_path(APPEND DFL_PC_INCLUDEDIR "\${prefix}" "${CMAKE_INSTALL_INCLUDEDIR}")
cmake_path(APPEND DFL_PC_MODELSDIR "\${prefix}" "${DFL_MODELS_DIR}")
# By name, not as Requires.private: programs that use the library need no headers of these.
list(TRANSFORM DEPS_LIBRARIES PREPEND -l OUTPUT_VARIABLE libraries)
list(JOIN libraries " " DFL_PC_LIBS)
configure_file(cmake/driftless.pc.in driftless.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/driftless.pc DESTINATION ${pc_dir})

configure_package_config_file(cmake/driftlessConfig.cmake.in driftlessConfig.cmake
  INSTALL_DESTINATION ${package_dir} PATH_VARS DFL_MODELS_DIR)
write_basic_package_version_file(driftlessConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/driftlessConfig.cmake
  ${PROJECT_BINARY_DIR}/driftlessConfigVersion.cmake DESTINATION ${package_dir})

# ---- manual pages and completion, from the tables of the program ------------------------------------

install(FILES docs/man/libdriftless.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
install(FILES cli/completion/driftless.bash RENAME driftless
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES cli/completion/_driftless
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES cli/completion/driftless.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
if(NOT CMAKE_CROSSCOMPILING) # the program prints its own pages
  add_custom_command(TARGET driftless_program POST_BUILD
    COMMAND driftless_program manual driftless > ${PROJECT_BINARY_DIR}/driftless.1
    COMMAND driftless_program manual driftless-samplers > ${PROJECT_BINARY_DIR}/driftless-samplers.7
    VERBATIM)
  install(FILES ${PROJECT_BINARY_DIR}/driftless.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${PROJECT_BINARY_DIR}/driftless-samplers.7
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man7)
endif()
