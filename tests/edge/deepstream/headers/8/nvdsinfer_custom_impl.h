// For tests: what a box parser sees of DeepStream 8's header, written from the documented structures (facts, not copied).
#pragma once
#include <vector>

enum NvDsInferDataType { FLOAT = 0, HALF = 1, INT8 = 2, INT32 = 3, INT64 = 4, UINT8 = 5 };

struct NvDsInferDims {
  unsigned int numDims;
  unsigned int d[8];
  unsigned int numElements;
};

struct NvDsInferLayerInfo {
  NvDsInferDataType dataType;
  union {
    NvDsInferDims inferDims;
  };
  int bindingIndex;
  const char* layerName;
  void* buffer;
  int isInput;
};

struct NvDsInferNetworkInfo {
  unsigned int width;
  unsigned int height;
  unsigned int channels;
};

struct NvDsInferObjectDetectionInfo {
  unsigned int classId;
  float left;
  float top;
  float width;
  float height;
  float detectionConfidence;
};

struct NvDsInferParseDetectionParams {
  unsigned int numClassesConfigured;
  std::vector<float> perClassPreclusterThreshold;
  std::vector<float> perClassPostclusterThreshold;
  std::vector<float>& perClassThreshold = perClassPreclusterThreshold;
};

typedef bool (*NvDsInferParseCustomFunc)(
    std::vector<NvDsInferLayerInfo> const&, NvDsInferNetworkInfo const&, NvDsInferParseDetectionParams const&,
    std::vector<NvDsInferObjectDetectionInfo>&);

#define CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(function) \
  static NvDsInferParseCustomFunc check_##function __attribute__((unused)) = function;
