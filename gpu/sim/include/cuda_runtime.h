// All that this has under CUDA is there already: see cudasim.h.
