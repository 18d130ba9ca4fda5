# BoringSSL: Debian's android-libboringssl-dev, or a build of upstream with -DBORINGSSL_ROOT=DIR
# (headers in DIR/include, libraries in DIR/lib, DIR/build, or DIR/build/{ssl,crypto}).
if(BORINGSSL_ROOT)
    set(hints ${BORINGSSL_ROOT} ${BORINGSSL_ROOT}/lib ${BORINGSSL_ROOT}/build
        ${BORINGSSL_ROOT}/build/ssl ${BORINGSSL_ROOT}/build/crypto)
    set(BORINGSSL_INCLUDE ${BORINGSSL_ROOT}/include)
    find_library(BORINGSSL_SSL ssl PATHS ${hints} NO_DEFAULT_PATH REQUIRED)
    find_library(BORINGSSL_CRYPTO crypto PATHS ${hints} NO_DEFAULT_PATH REQUIRED)
else()
    set(BORINGSSL_INCLUDE /usr/include/android)
    file(GLOB hints /usr/lib/*/android)
    find_library(BORINGSSL_SSL ssl PATHS ${hints} NO_DEFAULT_PATH REQUIRED)
    find_library(BORINGSSL_CRYPTO crypto PATHS ${hints} NO_DEFAULT_PATH REQUIRED)
    # The library lives outside the loader's path.
    get_filename_component(dir ${BORINGSSL_CRYPTO} DIRECTORY)
    set(CMAKE_BUILD_RPATH ${dir} PARENT_SCOPE)
    set(CMAKE_INSTALL_RPATH ${dir} PARENT_SCOPE)
endif()

foreach(part crypto ssl)
    string(TOUPPER ${part} upper)
    add_library(BoringSSL::${part} UNKNOWN IMPORTED GLOBAL)
    set_target_properties(BoringSSL::${part} PROPERTIES
        IMPORTED_LOCATION ${BORINGSSL_${upper}}
        INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${BORINGSSL_INCLUDE}
        INTERFACE_INCLUDE_DIRECTORIES ${BORINGSSL_INCLUDE})
endforeach()
set_property(TARGET BoringSSL::ssl APPEND PROPERTY INTERFACE_LINK_LIBRARIES BoringSSL::crypto)
