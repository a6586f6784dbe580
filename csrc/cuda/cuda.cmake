# The CUDA library, where there is a CUDA compiler: on its own, so that the CPU library loads without
# it and it loads beside any torch. Whatever is wrong with that compiler, the CPU library is built.
option(RERAM_CUDA "Build the CUDA library if nvcc is found" ON)
if(NOT RERAM_CUDA OR RERAM_SANITIZE)
  return()
endif()

macro(reram_no_cuda reason)
  message(STATUS "CUDA tensors will run through the reference: ${reason}")
  return()
endmacro()

# This compiles something, so that a compiler which refuses the host's compiler counts as none.
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  reram_no_cuda("no CUDA compiler that works")
endif()
set(RERAM_ARCHITECTURES ${CMAKE_CUDA_ARCHITECTURES})
if(NOT RERAM_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES OFF) # chosen below, once the version is known
endif()
enable_language(CUDA)

include(cuda/architectures.cmake)
if(NOT RERAM_ARCHITECTURES)
  reram_cuda_architectures(${CMAKE_CUDA_COMPILER_VERSION} RERAM_ARCHITECTURES)
endif()
if(NOT RERAM_ARCHITECTURES)
  reram_no_cuda("CUDA ${CMAKE_CUDA_COMPILER_VERSION} knows no compute capability of 8.0 or more")
endif()
set(CMAKE_CUDA_ARCHITECTURES ${RERAM_ARCHITECTURES})
try_compile(
  RERAM_CUDA_WORKS ${CMAKE_CURRENT_BINARY_DIR}/cuda ${CMAKE_CURRENT_SOURCE_DIR}/cuda/probe.cu
  CMAKE_FLAGS -DINCLUDE_DIRECTORIES=${CMAKE_CURRENT_SOURCE_DIR} CUDA_STANDARD 17
  CUDA_STANDARD_REQUIRED ON
  OUTPUT_VARIABLE RERAM_CUDA_LOG)
if(NOT RERAM_CUDA_WORKS)
  message(STATUS "${RERAM_CUDA_LOG}")
  reram_no_cuda("CUDA ${CMAKE_CUDA_COMPILER_VERSION} does not compile csrc/cuda/probe.cu")
endif()

add_library(reram_crossbar_cuda SHARED cuda/crossbar.cu)
target_include_directories(reram_crossbar_cuda PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
reram_export_c(reram_crossbar_cuda)
set_target_properties(
  reram_crossbar_cuda PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON
                                 CUDA_VISIBILITY_PRESET hidden CUDA_RUNTIME_LIBRARY Static)
target_compile_options(reram_crossbar_cuda PRIVATE -Xcompiler=-Wall,-Wextra)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 11.2)
  target_compile_options(reram_crossbar_cuda PRIVATE --threads=0) # architectures side by side
endif()
install(TARGETS reram_crossbar_cuda LIBRARY DESTINATION reram_torch)
