# The CUDA library, where there is a CUDA compiler: on its own, so that the CPU library loads without
# it and it loads beside any torch. sm_80 and sm_90 machine code, and PTX for what comes later.
option(RERAM_CUDA "Build the CUDA library if nvcc is found" ON)
if(NOT RERAM_CUDA OR RERAM_SANITIZE)
  return()
endif()

include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  message(STATUS "No CUDA compiler: CUDA tensors will run through the reference")
  return()
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
endif()
enable_language(CUDA)

add_library(reram_crossbar_cuda SHARED cuda/crossbar.cu)
target_include_directories(reram_crossbar_cuda PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
set_target_properties(
  reram_crossbar_cuda PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON
                                 CUDA_VISIBILITY_PRESET hidden CUDA_RUNTIME_LIBRARY Static)
target_compile_options(reram_crossbar_cuda PRIVATE --threads=0 -Xcompiler=-Wall,-Wextra)
install(TARGETS reram_crossbar_cuda LIBRARY DESTINATION reram_torch)
