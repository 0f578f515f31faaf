# Compiles every shader variant with glslang and embeds it as a C array. A variant is a shader stem, a name and defines:
# what differs by weight type is one include, chosen by WEIGHT_<TYPE>; what differs by size is a specialization constant.
set(GAB_WEIGHT_TYPES F32 F16 Q8_0 Q4_0 Q4_K Q5_K Q6_K BF16 Q4_1 Q5_0 Q5_1 IQ4_NL IQ4_XS MXFP4 Q2_K Q3_K)
set(GAB_SHADERS probe layernorm rmsnorm kv_write rope gated expert_route expert_runs expert_sum attention_lane attention_decode_across attention_decode_group
  attention_prefill_across attention_prefill_group attention_prefill_matrix attention_merge sample)
set(GAB_MATRIX_SHADERS attention_prefill_matrix matmul_matrix) # stems that need GL_KHR_cooperative_matrix
set(GAB_DOT_SHADERS matmul_dot8)                               # stems for quantized weights alone
set(GAB_FLOAT_TYPES F32 F16 BF16)
set(GAB_EMPTY_SHADERS "")                                      # names of those that stay without code
foreach(type ${GAB_WEIGHT_TYPES})
  string(TOLOWER ${type} lower)
  foreach(stem gather matvec_across matvec_lane matvec_group matmul_lane matmul_group matmul_half matmul_matrix matmul_dot8)
    list(APPEND GAB_SHADERS "${stem}_${lower}:${stem}:-DWEIGHT_${type}")
    if(stem IN_LIST GAB_DOT_SHADERS AND type IN_LIST GAB_FLOAT_TYPES)
      list(APPEND GAB_EMPTY_SHADERS ${stem}_${lower})
    endif()
  endforeach()
endforeach()

# glslang has known cooperative matrices since 13 (2023), Vulkan's headers since 1.3.255.
if(NOT DEFINED GAB_BUILD_KNOWS_MATRIX)
  set(knows ON) # of the glslang that third_party builds
  if(EXISTS "${GAB_GLSLANG}")
    file(WRITE ${CMAKE_BINARY_DIR}/probe_matrix.comp "#version 450
#extension GL_KHR_cooperative_matrix : require
void main() {}
")
    execute_process(COMMAND ${GAB_GLSLANG} --target-env vulkan1.2 --quiet -o ${CMAKE_BINARY_DIR}/probe_matrix.spv
      ${CMAKE_BINARY_DIR}/probe_matrix.comp RESULT_VARIABLE result OUTPUT_QUIET ERROR_QUIET)
    if(NOT result EQUAL 0)
      set(knows OFF)
    endif()
  endif()
  file(STRINGS ${GAB_VULKAN_INCLUDE}/vulkan/vulkan_core.h header REGEX "define VK_KHR_cooperative_matrix ")
  if(NOT header)
    set(knows OFF)
  endif()
  if(NOT knows)
    message(WARNING "this glslang or these Vulkan headers know no cooperative matrices: the build has no kernels for matrix units")
  endif()
  set(GAB_BUILD_KNOWS_MATRIX ${knows} CACHE INTERNAL "")
endif()

file(GLOB GAB_SHADER_INCLUDES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/shaders/*.glsl ${CMAKE_SOURCE_DIR}/shaders/args.h)

# SOURCE, with defines, as the array gab_spirv_NAME in HEADER.
function(gab_shader_compile name source header defines)
  add_custom_command(OUTPUT ${header}
    COMMAND ${GAB_GLSLANG} --target-env vulkan1.2 --quiet -DGAB_GLSL ${defines} -I${CMAKE_SOURCE_DIR}/shaders
      --vn gab_spirv_${name} -o ${header} ${source}
    DEPENDS ${source} ${GAB_SHADER_INCLUDES} VERBATIM)
endfunction()

set(GAB_SHADER_DIR ${CMAKE_BINARY_DIR}/shaders)
file(MAKE_DIRECTORY ${GAB_SHADER_DIR})
set(shader_enum "")
set(shader_rows "")
set(shader_includes "")
set(shader_headers "")
foreach(entry ${GAB_SHADERS})
  string(REPLACE ":" ";" parts "${entry}")
  list(GET parts 0 name)
  list(LENGTH parts n)
  set(stem ${name})
  set(defines "")
  if(n GREATER 1)
    list(GET parts 1 stem)
    list(GET parts 2 defines)
  endif()
  string(TOUPPER ${name} upper)
  string(APPEND shader_enum "    GAB_SHADER_${upper},\n")
  if(name IN_LIST GAB_EMPTY_SHADERS OR (stem IN_LIST GAB_MATRIX_SHADERS AND NOT GAB_BUILD_KNOWS_MATRIX))
    string(APPEND shader_rows "    {\"${name}\", NULL, 0},\n")
    continue()
  endif()
  set(header ${GAB_SHADER_DIR}/${name}.h)
  gab_shader_compile(${name} ${CMAKE_SOURCE_DIR}/shaders/${stem}.comp ${header} "${defines}")
  list(APPEND shader_headers ${header})
  string(APPEND shader_includes "#include \"${name}.h\"\n")
  string(APPEND shader_rows "    {\"${name}\", gab_spirv_${name}, sizeof gab_spirv_${name}},\n")
endforeach()

file(CONFIGURE OUTPUT ${GAB_SHADER_DIR}/shader_list.h @ONLY CONTENT
"/* Generated: every shader variant of this build. */
#ifndef GAB_SHADER_LIST_H
#define GAB_SHADER_LIST_H
#include <stddef.h>
#include <stdint.h>

typedef enum gab_shader_id {
@shader_enum@    GAB_SHADER_COUNT
} gab_shader_id;

typedef struct gab_shader {
    const char *name;
    const uint32_t *code;
    size_t bytes; /* 0: this build has no code for it */
} gab_shader;

extern const gab_shader gab_shaders[GAB_SHADER_COUNT];
#endif
")
file(CONFIGURE OUTPUT ${GAB_SHADER_DIR}/shader_list.c @ONLY CONTENT
"#include \"shader_list.h\"

@shader_includes@
const gab_shader gab_shaders[GAB_SHADER_COUNT] = {
@shader_rows@};
")
add_library(gab_shaders_lib OBJECT ${GAB_SHADER_DIR}/shader_list.c ${shader_headers})
target_include_directories(gab_shaders_lib PUBLIC ${GAB_SHADER_DIR})
set(GAB_SHADER_SOURCE $<TARGET_OBJECTS:gab_shaders_lib>)
