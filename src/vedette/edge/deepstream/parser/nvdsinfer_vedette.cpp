// nvinfer's box parser for every bundle: `parse-bbox-func-name=NvDsInferParseVedette`.
//
// How this network's outputs are decoded stands in vedette_decode.txt beside the library (VEDETTE_DECODE names another
// file); it is read once. Each class's `pre-cluster-threshold` is honoured here; suppression, clipping and scaling to the
// frame stay in nvinfer. Built against the header of the DeepStream that runs it, since its structures differ.

#include <dlfcn.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <vector>

#include "decode.hpp"
#include "nvdsinfer_custom_impl.h"

extern "C" bool NvDsInferParseVedette(
    std::vector<NvDsInferLayerInfo> const& layers, NvDsInferNetworkInfo const& network,
    NvDsInferParseDetectionParams const& params, std::vector<NvDsInferObjectDetectionInfo>& objects);

namespace {

const char* const kFile = "vedette_decode.txt";

// The specification, or what is wrong with it: told once, since a parser is called for every frame.
struct Loaded {
  vedette::DecodeSpec spec;
  bool usable = false;

  Loaded() {
    const std::string path = find();
    std::ifstream text(path);
    std::string error;
    if (!text) {
      error = "cannot be read; it belongs beside the library (or set VEDETTE_DECODE)";
    } else {
      usable = vedette::read_decode_spec(text, spec, error);
    }
    if (!usable) std::cerr << "NvDsInferParseVedette: " << path << ": " << error << std::endl;
  }

  static std::string find() {
    const char* named = std::getenv("VEDETTE_DECODE");
    if (named != nullptr && *named != '\0') return named;
    Dl_info info;
    if (dladdr(reinterpret_cast<void*>(&NvDsInferParseVedette), &info) == 0 || info.dli_fname == nullptr) return kFile;
    const std::string library = info.dli_fname;
    const std::size_t slash = library.rfind('/');
    return slash == std::string::npos ? kFile : library.substr(0, slash + 1) + kFile;
  }
};

bool fail(const std::string& message) {
  static bool told = false;
  if (!told) std::cerr << "NvDsInferParseVedette: " << message << std::endl;
  told = true;
  return false;
}

const NvDsInferLayerInfo* find_layer(std::vector<NvDsInferLayerInfo> const& layers, const std::string& name) {
  for (const NvDsInferLayerInfo& layer : layers) {
    if (layer.layerName != nullptr && name == layer.layerName) return &layer;
  }
  return nullptr;
}

std::string shape_of(const NvDsInferLayerInfo& layer) {
  std::string text = "(";
  for (unsigned at = 0; at < layer.inferDims.numDims; ++at) {
    text += (at ? ", " : "") + std::to_string(layer.inferDims.d[at]);
  }
  return text + ")";
}

bool has_values(const NvDsInferLayerInfo& layer) {
  return layer.buffer != nullptr && (layer.dataType == FLOAT || layer.dataType == HALF);
}

bool has_shape(const NvDsInferLayerInfo& layer, unsigned depth, unsigned height, unsigned width) {
  const NvDsInferDims& dims = layer.inferDims;
  return dims.numDims == 3 && unsigned(dims.d[0]) == depth && unsigned(dims.d[1]) == height &&
         unsigned(dims.d[2]) == width;
}

// Boxes and values of a decoded output by its shape without the batch; zero boxes when it is none.
struct Table {
  std::size_t boxes = 0;
  std::size_t width = 0;
};

Table table_of(const NvDsInferLayerInfo& layer, bool by_rows) {
  const NvDsInferDims& dims = layer.inferDims;
  Table table;
  if (by_rows && dims.numDims == 3 && dims.d[1] == 1) {
    table.boxes = dims.d[0], table.width = dims.d[2];
  } else if (dims.numDims == 2) {
    table.boxes = by_rows ? dims.d[0] : dims.d[1], table.width = by_rows ? dims.d[1] : dims.d[0];
  }
  return table;
}

struct Emit {
  std::vector<NvDsInferObjectDetectionInfo>& objects;

  void operator()(const vedette::Box& box) const {
    NvDsInferObjectDetectionInfo object{};  // zeroed: newer versions have fields that are none of ours
    object.classId = static_cast<unsigned>(box.class_id);
    object.left = box.left;
    object.top = box.top;
    object.width = box.width;
    object.height = box.height;
    object.detectionConfidence = box.score;
    objects.push_back(object);
  }
};

bool parse_heads(
    const vedette::DecodeSpec& spec, std::vector<NvDsInferLayerInfo> const& layers,
    const vedette::Thresholds& thresholds, Emit emit
) {
  for (const vedette::Output& head : spec.outputs) {
    const NvDsInferLayerInfo* layer = find_layer(layers, head.name);
    if (layer == nullptr || !has_values(*layer)) {
      return fail("the engine has no output '" + head.name + "' of 32 or 16 bit floats; is it this bundle's?");
    }
    const unsigned depth = static_cast<unsigned>(head.anchors.size() * (5 + spec.classes));
    if (!has_shape(*layer, depth, head.grid_height, head.grid_width)) {
      return fail("output '" + head.name + "' is " + shape_of(*layer) + ", expected (" + std::to_string(depth) + ", " +
                  std::to_string(head.grid_height) + ", " + std::to_string(head.grid_width) + ")");
    }
    if (layer->dataType == HALF) {
      const vedette::HalfValues values{static_cast<const std::uint16_t*>(layer->buffer)};
      vedette::decode_head(spec, head, values, thresholds, emit);
    } else {
      vedette::decode_head(spec, head, vedette::FloatValues{static_cast<const float*>(layer->buffer)}, thresholds, emit);
    }
  }
  return true;
}

template <typename Values, typename Number>
void parse_tables(
    const vedette::DecodeSpec& spec, const NvDsInferLayerInfo& boxes, const NvDsInferLayerInfo& rest,
    Table box_table, Table rest_table, const vedette::Thresholds& thresholds, Emit emit
) {
  const vedette::BoxValues<Values> corners{
      Values{static_cast<const Number*>(boxes.buffer)}, spec.by_rows, box_table.boxes, box_table.width};
  const vedette::BoxValues<Values> others{
      Values{static_cast<const Number*>(rest.buffer)}, spec.by_rows, rest_table.boxes, rest_table.width};
  vedette::decode_boxes(spec, corners, others, spec.outputs.size() == 1 ? 4 : 0, thresholds, emit);
}

bool parse_boxes(
    const vedette::DecodeSpec& spec, std::vector<NvDsInferLayerInfo> const& layers,
    const vedette::Thresholds& thresholds, Emit emit
) {
  const bool one = spec.outputs.size() == 1;
  const NvDsInferLayerInfo* boxes = find_layer(layers, spec.outputs.front().name);
  const NvDsInferLayerInfo* rest = find_layer(layers, spec.outputs.back().name);
  if (boxes == nullptr || rest == nullptr || !has_values(*boxes) || !has_values(*rest) ||
      boxes->dataType != rest->dataType) {
    return fail("the engine has not the outputs that vedette_decode.txt names, as 32 or 16 bit floats");
  }
  const Table box_table = table_of(*boxes, spec.by_rows), rest_table = table_of(*rest, spec.by_rows);
  const std::size_t width = static_cast<std::size_t>(spec.values());
  if (box_table.boxes == 0 || box_table.width != (one ? width : 4) || rest_table.boxes != box_table.boxes ||
      rest_table.width != (one ? width : width - 4)) {
    return fail("output '" + spec.outputs.front().name + "' is " + shape_of(*boxes) + ", '" + spec.outputs.back().name +
                "' is " + shape_of(*rest) + "; expected boxes of " + std::to_string(width) + " values");
  }
  if (boxes->dataType == HALF) {
    parse_tables<vedette::HalfValues, std::uint16_t>(spec, *boxes, *rest, box_table, rest_table, thresholds, emit);
  } else {
    parse_tables<vedette::FloatValues, float>(spec, *boxes, *rest, box_table, rest_table, thresholds, emit);
  }
  return true;
}

}  // namespace

extern "C" bool NvDsInferParseVedette(
    std::vector<NvDsInferLayerInfo> const& layers, NvDsInferNetworkInfo const& network,
    NvDsInferParseDetectionParams const& params, std::vector<NvDsInferObjectDetectionInfo>& objects) {
  static const Loaded loaded;
  if (!loaded.usable) return false;
  const vedette::DecodeSpec& spec = loaded.spec;
  if (int(network.width) != spec.input_width_px || int(network.height) != spec.input_height_px) {
    return fail("the engine takes " + std::to_string(network.width) + "x" + std::to_string(network.height) +
                ", vedette_decode.txt says " + std::to_string(spec.input_width_px) + "x" +
                std::to_string(spec.input_height_px));
  }
  const std::vector<float>& wanted = params.perClassPreclusterThreshold;
  const int configured = static_cast<int>(std::min<std::size_t>(wanted.size(), params.numClassesConfigured));
  if (configured < spec.classes) {
    return fail("num-detected-classes is " + std::to_string(configured) + ", the network has " +
                std::to_string(spec.classes));
  }
  objects.reserve(256);  // once: nvinfer keeps the list
  const vedette::Thresholds thresholds{wanted.data(), spec.classes};
  const Emit emit{objects};
  return spec.is_heads() ? parse_heads(spec, layers, thresholds, emit) : parse_boxes(spec, layers, thresholds, emit);
}

CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(NvDsInferParseVedette);
