# Compiles every shader variant with glslang and embeds it as a C array. A variant is a shader stem, a name and defines:
# what differs by weight type is one include, chosen by WEIGHT_<TYPE>; what differs by size is a specialization constant.
set(GAB_WEIGHT_TYPES F32 F16 Q8_0 Q4_0)
set(GAB_SHADERS probe layernorm kv_write attention_lane attention_group attention_merge sample)
foreach(type ${GAB_WEIGHT_TYPES})
  string(TOLOWER ${type} lower)
  foreach(stem gather matvec_across matvec_lane matvec_group matmul_group)
    list(APPEND GAB_SHADERS "${stem}_${lower}:${stem}:-DWEIGHT_${type}")
  endforeach()
endforeach()

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
  set(header ${GAB_SHADER_DIR}/${name}.h)
  gab_shader_compile(${name} ${CMAKE_SOURCE_DIR}/shaders/${stem}.comp ${header} "${defines}")
  list(APPEND shader_headers ${header})
  string(TOUPPER ${name} upper)
  string(APPEND shader_enum "    GAB_SHADER_${upper},\n")
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
    size_t bytes;
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
