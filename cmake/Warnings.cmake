add_library(yolodist_warnings INTERFACE)
target_compile_options(yolodist_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                                                   $<$<BOOL:${YOLODIST_WERROR}>:-Werror>)
