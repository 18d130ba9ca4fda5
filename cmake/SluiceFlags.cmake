# Flags for the project's own code; third-party sources are compiled with theirs.
add_library(sluice_flags INTERFACE)
target_compile_definitions(sluice_flags INTERFACE _GNU_SOURCE SLUICE_VERSION="${PROJECT_VERSION}")
target_compile_options(sluice_flags INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Werror -fno-strict-aliasing -fno-common)
target_include_directories(sluice_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)

# Hardening that costs nothing measurable; the sanitizers bring their own.
if(SLUICE_SANITIZE OR SLUICE_FUZZ)
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined
        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=address,undefined)
else()
    add_compile_options(-fstack-protector-strong)
    add_link_options(-Wl,-z,relro,-z,now)
endif()
if(SLUICE_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(SLUICE_LTO)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()
