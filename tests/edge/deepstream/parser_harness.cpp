// Loads a box parser as nvinfer does, feeds it tensors from a file, prints its boxes; with a third argument, times it.
// Input (little-endian): u32 width, height, classes; f32 threshold of each class; u32 layers; each layer: u32 name length,
// name, u32 type, u32 dims, u32 each, u32 bytes, data. Exit code 3 when the parser refuses.
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <new>
#include <string>
#include <vector>

#include "nvdsinfer_custom_impl.h"

static std::size_t allocations = 0;
void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

static std::uint32_t number(std::istream& in) {
  std::uint32_t value = 0;
  in.read(reinterpret_cast<char*>(&value), sizeof value);
  return value;
}

int main(int count, char** given) {
  if (count < 3) return 2;
  void* library = dlopen(given[1], RTLD_NOW);
  if (library == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 2;
  const auto parse = reinterpret_cast<NvDsInferParseCustomFunc>(dlsym(library, "NvDsInferParseVedette"));
  std::ifstream in(given[2], std::ios::binary);
  if (parse == nullptr || !in) return 2;
  NvDsInferNetworkInfo network{};
  network.width = number(in), network.height = number(in), network.channels = 3;
  NvDsInferParseDetectionParams params{};
  params.numClassesConfigured = number(in);
  params.perClassPreclusterThreshold.resize(params.numClassesConfigured);
  for (float& threshold : params.perClassPreclusterThreshold) {
    in.read(reinterpret_cast<char*>(&threshold), sizeof threshold);
  }
  std::deque<std::string> names;
  std::deque<std::vector<char>> buffers;
  std::vector<NvDsInferLayerInfo> layers(number(in));
  for (NvDsInferLayerInfo& layer : layers) {
    names.emplace_back(number(in), ' ');
    in.read(&names.back()[0], names.back().size());
    layer.layerName = names.back().c_str();
    layer.dataType = static_cast<NvDsInferDataType>(number(in));
    layer.inferDims = NvDsInferDims{};
    layer.inferDims.numDims = number(in);
    for (unsigned at = 0; at < layer.inferDims.numDims; ++at) layer.inferDims.d[at] = number(in);
    buffers.emplace_back(number(in));
    in.read(buffers.back().data(), buffers.back().size());
    layer.buffer = buffers.back().data();
  }
  std::vector<NvDsInferObjectDetectionInfo> objects;
  if (!parse(layers, network, params, objects)) return 3;
  for (const NvDsInferObjectDetectionInfo& object : objects) {
    std::printf("%u %.9g %.9g %.9g %.9g %.9g\n", object.classId, object.left, object.top, object.width, object.height,
                object.detectionConfidence);
  }
  if (count > 3) {
    std::vector<double> spent(static_cast<std::size_t>(std::atoi(given[3])));
    const std::size_t before = allocations;
    for (double& microseconds : spent) {
      objects.clear();
      const auto began = std::chrono::steady_clock::now();
      parse(layers, network, params, objects);
      microseconds = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began).count();
    }
    const std::size_t allocated = allocations - before;
    std::sort(spent.begin(), spent.end());  // the median: what else the machine does disturbs it least
    std::fprintf(stderr, "microseconds %.3f allocations %zu\n", spent[spent.size() / 2], allocated);
  }
  return 0;
}
