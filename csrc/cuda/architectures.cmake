# What to compile for, by the compiler's version: machine code for compute capability 8.0 and, where
# the compiler knows it, 9.0, and PTX of the last for what comes later. Empty: too old a compiler.
function(reram_cuda_architectures version result)
  if(version VERSION_LESS 11.0)
    set(${result} "" PARENT_SCOPE)
  elseif(version VERSION_LESS 11.8)
    set(${result} 80 PARENT_SCOPE)
  else()
    set(${result} 80-real 90 PARENT_SCOPE)
  endif()
endfunction()
