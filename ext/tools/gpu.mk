# The GPU plug-in: a FAISS of its own with the GPU part (ext/tools/deps.sh faiss-gpu; half an hour,
# once), CUDA's runtime inside, cuBLAS from the machine or from the plug-in's folder. recommend.so
# links nothing of it.
#   CUDA_HOME=DIR   the toolkit (default /usr/local/cuda)      CUDA_ARCHS='80;90'   architectures, as CMake takes them (default 90)
CUDA_HOME ?= /usr/local/cuda
GPU_OBJECTS := $(BUILD)/gpu/plugin.o $(BUILD)/gpu/faiss_state.o
gpu: all
	@dir=$$(ext/tools/deps.sh faiss-gpu) && $(MAKE) --no-print-directory $(BUILD)/recommend_gpu.so \
	    FAISS_GPU_DIR=$$dir
$(BUILD)/gpu/libfaiss.a: $(FAISS_GPU_DIR)/lib/libfaiss.a
	@mkdir -p $(@D)
	$(call SHOW,FAISS)objcopy $(foreach f,$(FAISS_SILENT),--redefine-sym $f=rec_silent_$f) $< $@
$(BUILD)/gpu/plugin.o: ext/ann/gpu_plugin.cpp
$(BUILD)/gpu/faiss_state.o: ext/ann/faiss_state.cpp
$(GPU_OBJECTS):
	@mkdir -p $(@D)
	$(call SHOW,CXX)$(CXX) -std=c++17 $(WARN) $(CODEGEN) -isystem $(FAISS_GPU_DIR)/include \
	    -isystem $(CUDA_HOME)/include -MMD -MP -c $< -o $@
# -Bsymbolic: whatever FAISS else is in the process, ours calls itself.
$(BUILD)/recommend_gpu.so: $(GPU_OBJECTS) $(BUILD)/gpu/libfaiss.a ext/tools/gpu_exports.map
	$(call SHOW,LINK)$(CXX) -shared -o $@ $(GPU_OBJECTS) -Wl,--whole-archive \
	    $(BUILD)/gpu/libfaiss.a -Wl,--no-whole-archive -L$(CUDA_HOME)/lib64 -lcudart_static \
	    -lcublas -lopenblas -lgomp -ldl -lrt -pthread \
	    -Wl,--version-script=ext/tools/gpu_exports.map -Wl,-Bsymbolic -Wl,-z,nodelete -Wl,-z,defs \
	        -Wl,-rpath,'$$ORIGIN' -s
# FAISS's own GPU API beside ours, and what a machine with a GPU needs, in one archive (proven here
# on the CPU alone).
$(BUILD)/gpu_raw: tests/bench/gpu_raw.cpp $(BUILD)/recommend_gpu.so
	$(call SHOW,CXX)$(CXX) -std=c++17 $(WARN) -O2 -isystem $(FAISS_GPU_DIR)/include -isystem \
	    $(CUDA_HOME)/include -o $@ $^ -L$(CUDA_HOME)/lib64 -lcudart_static -lcublas -ldl -lrt \
	    -pthread -Wl,-rpath,'$$ORIGIN' -s
bench-gpu: gpu
	@$(MAKE) --no-print-directory $(BUILD)/gpu_raw FAISS_GPU_DIR=$$(ext/tools/deps.sh faiss-gpu)
	@/usr/bin/python3 tests/bench/gpu.py $(BUILD) $(SIZE)
gpu-archive: gpu
	@$(MAKE) --no-print-directory $(BUILD)/gpu_raw FAISS_GPU_DIR=$$(ext/tools/deps.sh faiss-gpu)
	@ext/tools/gpu_archive.sh $(BUILD)
.PHONY: gpu bench-gpu gpu-archive
