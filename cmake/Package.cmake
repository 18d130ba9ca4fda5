# `cmake --install`, and a Debian package through CPack: the program, its manual and completion, the
# configuration, and the systemd units.
include(GNUInstallDirs)
find_package(Python3 COMPONENTS Interpreter)

set(generated ${PROJECT_BINARY_DIR}/packaging)
if(Python3_FOUND)
    add_custom_command(OUTPUT ${generated}/sluice.1.gz
        COMMAND ${CMAKE_COMMAND} -E make_directory ${generated}
        COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/packaging/man.py $<TARGET_FILE:sluice>
                > ${generated}/sluice.1
        COMMAND gzip -9nf ${generated}/sluice.1
        DEPENDS sluice ${PROJECT_SOURCE_DIR}/packaging/man.py
        COMMENT "Writing the manual page"
        VERBATIM)
    add_custom_target(manual DEPENDS ${generated}/sluice.1.gz)
endif()

install(TARGETS sluice RUNTIME)
install(FILES ${generated}/sluice.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 OPTIONAL)
install(FILES packaging/sluice.bash RENAME sluice DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES packaging/sluice.service packaging/sluice.socket DESTINATION /usr/lib/systemd/system)
install(FILES conf/sluice.yaml DESTINATION /etc/sluice)
install(FILES packaging/sluice.default RENAME sluice DESTINATION /etc/default)
install(FILES README.md SECURITY.md conf/REFERENCE.md TYPE DOC)
install(FILES LICENSE RENAME copyright TYPE DOC)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sluice)
set(CPACK_PACKAGE_CONTACT "the Sluice project")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "gateway between applications and Amazon Bedrock")
set(CPACK_PACKAGE_DESCRIPTION "Applications talk to it as to Bedrock, OpenAI or Anthropic; it signs, queues within the account's quotas, and keeps answers.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, ca-certificates")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${PROJECT_SOURCE_DIR}/packaging/debian/conffiles ${PROJECT_SOURCE_DIR}/packaging/debian/postinst
    ${PROJECT_SOURCE_DIR}/packaging/debian/prerm ${PROJECT_SOURCE_DIR}/packaging/debian/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
