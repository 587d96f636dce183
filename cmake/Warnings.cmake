add_library(yolodist_warnings INTERFACE)
# -Wno-restrict: g++ 12 sees overlaps in std::string that are not there (GCC bug 105329).
target_compile_options(yolodist_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-restrict
                                                   $<$<BOOL:${YOLODIST_WERROR}>:-Werror>)
