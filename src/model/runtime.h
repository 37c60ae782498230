/* OpenVINO's C API, bound at run time, for the files that evaluate networks. The one file that sees
   OpenVINO's header, whose enumerators have no prefix. */
#ifndef DFL_RUNTIME_H
#define DFL_RUNTIME_H

#include <openvino/c/openvino.h>

#include "base/base.h"

#define OV_SYMBOLS(X)                                                                              \
    X(get_openvino_version)                                                                        \
    X(version_free)                                                                                \
    X(get_last_err_msg)                                                                            \
    X(get_error_info)                                                                              \
    X(free)                                                                                        \
    X(core_create)                                                                                 \
    X(core_free)                                                                                   \
    X(core_set_property)                                                                           \
    X(core_read_model)                                                                             \
    X(core_compile_model)                                                                          \
    X(model_free)                                                                                  \
    X(model_inputs_size)                                                                           \
    X(model_outputs_size)                                                                          \
    X(model_const_input_by_index)                                                                  \
    X(model_const_input_by_name)                                                                   \
    X(model_const_output_by_index)                                                                 \
    X(model_const_output_by_name)                                                                  \
    X(model_reshape)                                                                               \
    X(port_get_any_name)                                                                           \
    X(port_get_element_type)                                                                       \
    X(port_get_partial_shape)                                                                      \
    X(output_const_port_free)                                                                      \
    X(partial_shape_create_static)                                                                 \
    X(partial_shape_free)                                                                          \
    X(tensor_create_from_host_ptr)                                                                 \
    X(tensor_data)                                                                                 \
    X(tensor_free)                                                                                 \
    X(compiled_model_create_infer_request)                                                         \
    X(compiled_model_get_property)                                                                 \
    X(compiled_model_free)                                                                         \
    X(infer_request_set_tensor)                                                                    \
    X(infer_request_get_tensor)                                                                    \
    X(infer_request_infer)                                                                         \
    X(infer_request_free)

typedef struct {
#define X(name) __typeof__(ov_##name) *name;
    OV_SYMBOLS(X)
#undef X
} ov_api;

/* E_RUNTIME: OpenVINO cannot be loaded, or is not the one we know; the sentence says how to get it. */
dfl_status runtime_load(ov_api *api);

/* E_MODEL: "FILE: OpenVINO cannot `what`: " and OpenVINO's own words, on one line, without the source
   files they start with. */
dfl_status runtime_failed(const ov_api *ov, const char *file, ov_status_e status, const char *what);

#endif
