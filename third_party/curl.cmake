# libcurl: built by build-curl.sh from Debian's source package against BoringSSL, static, HTTP(S)/1.1
# only. The packaged libcurl brings OpenSSL, which must not share a process with BoringSSL.
set(SLUICE_DEPS ${PROJECT_SOURCE_DIR}/.deps CACHE PATH "Where built dependencies are kept")
set(curl_variant plain)
if(SLUICE_LTO)
    set(curl_variant lto)
endif()
set(curl_root ${SLUICE_DEPS}/curl-${curl_variant})
if(NOT EXISTS ${curl_root}/lib/libcurl.a)
    message(STATUS "Building libcurl (${curl_variant}), once, about 20 s")
    execute_process(
        COMMAND ${CMAKE_CURRENT_LIST_DIR}/build-curl.sh ${curl_root} ${curl_variant}
            ${BORINGSSL_INCLUDE} ${BORINGSSL_SSL} ${BORINGSSL_CRYPTO}
        RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "libcurl could not be built: see the messages above")
    endif()
endif()
add_library(Curl::curl STATIC IMPORTED GLOBAL)
set_target_properties(Curl::curl PROPERTIES
    IMPORTED_LOCATION ${curl_root}/lib/libcurl.a
    INTERFACE_INCLUDE_DIRECTORIES ${curl_root}/include
    INTERFACE_COMPILE_DEFINITIONS CURL_STATICLIB
    INTERFACE_LINK_LIBRARIES "BoringSSL::ssl;BoringSSL::crypto;Threads::Threads")
