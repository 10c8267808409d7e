// The Matmul high-level API, computed in one go: values, limits, traffic and order are those of the device's API, its
// inner pipelining (L1, L0, double buffers) is taken to be right.
// asc-devkit:docs/zh/api/SIMD-API/高阶API/矩阵计算/Matmul-Kernel侧接口
#pragma once

#include <optional>
#include <vector>

#include "matmul_operand.h"
#include "matmul_order.h"
#include "matmul_result.h"
#include "matmul_shape.h"

namespace AscendC {
class TPipe;
}

namespace coopdraw::sim {

template <class A_TYPE, class B_TYPE, class C_TYPE, class BIAS_TYPE = C_TYPE, const auto& MM_CFG = CFG_NORM,
          class MM_CB = AscendC::MatmulCallBackFunc<nullptr, nullptr, nullptr>>
class Matmul : public MatmulShapes {
    using SrcAT = typename A_TYPE::T;
    using SrcBT = typename B_TYPE::T;
    using DstT = typename C_TYPE::T;
    using BiasT = typename BIAS_TYPE::T;
    using Accumulator = std::conditional_t<std::is_same_v<SrcAT, int8_t>, int32_t, float>;
    template <typename T>
    using GlobalTensor = AscendC::GlobalTensor<T>;
    template <typename T>
    using LocalTensor = AscendC::LocalTensor<T>;
    using TPosition = AscendC::TPosition;

    static_assert(is_product_type<DstT, SrcAT, SrcBT>(), "Matmul: the SoC (or the simulator) has no such types");
    static_assert(A_TYPE::layout == LayoutMode::NONE && B_TYPE::layout == LayoutMode::NONE,
                  "Matmul: the simulator has no batches (IterateBatch)");
    static_assert(!A_TYPE::ibShare && !B_TYPE::ibShare, "Matmul: the simulator has no IBShare");
    static_assert(MM_CB::is_default, "Matmul: the simulator has no callbacks");

public:
    Matmul() = default;
    Matmul(const Matmul&) = delete;
    Matmul& operator=(const Matmul&) = delete;
    ~Matmul() {
        if (!pending_.empty()) {
            fail(Kind::event,
                 "the kernel ends with %zu asynchronous IterateAll that nothing waited for; call WaitIterateAll once "
                 "for each",
                 pending_.size());
        }
    }

    void Init(const TCubeTiling* tiling, AscendC::TPipe* = nullptr) {
        set_tiling(*tiling, TRAITS);
        next_ = 0;
    }

    void SetTensorA(const GlobalTensor<SrcAT>& gm, bool isTransposeA = false) {
        static_assert(A_TYPE::pos == TPosition::GM, "Matmul::SetTensorA: the type of A says that it is not in GM");
        set_operand<A_TYPE>(left_, gm, isTransposeA, "A");
    }
    void SetTensorA(const LocalTensor<SrcAT>& local, bool isTransposeA = false) {
        static_assert(A_TYPE::pos != TPosition::GM, "Matmul::SetTensorA: the type of A says that it is in GM");
        set_operand<A_TYPE>(left_, local, isTransposeA, "A");
    }
    void SetTensorB(const GlobalTensor<SrcBT>& gm, bool isTransposeB = false) {
        static_assert(B_TYPE::pos == TPosition::GM, "Matmul::SetTensorB: the type of B says that it is not in GM");
        set_operand<B_TYPE>(right_, gm, isTransposeB, "B");
    }
    void SetTensorB(const LocalTensor<SrcBT>& local, bool isTransposeB = false) {
        static_assert(B_TYPE::pos != TPosition::GM, "Matmul::SetTensorB: the type of B says that it is in GM");
        set_operand<B_TYPE>(right_, local, isTransposeB, "B");
    }
    void SetBias(const GlobalTensor<BiasT>& bias) {
        static_assert(BIAS_TYPE::pos == TPosition::GM, "Matmul::SetBias: the bias type says that it is not in GM");
        require_tiling("SetBias");
        if (tiling().isBias == 0) {
            fail(Kind::argument, "Matmul::SetBias, but TCubeTiling.isBias is 0; enable the bias on the host");
        }
        bias_ = bias;
        begin_operands();
    }
    void DisableBias() { bias_.reset(); }
    void ClearBias() { bias_.reset(); }
    // 310P: room in UB for the operands on their way.
    void SetLocalWorkspace(const LocalTensor<uint8_t>& buffer) { workspace_ = buffer; }

    // One block [baseM, baseN] of the result, left in L0C; false when all of them were computed.
    template <bool sync = true>
    bool Iterate(bool enPartialSum = false) {
        static_assert(sync, "Matmul::Iterate: the simulator has no asynchronous Iterate; use IterateAll<false>");
        require_tiling("Iterate");
        if (next_ == blocks()) {
            next_ = 0;
            return false;
        }
        hold_cube(this);
        const MatmulBlock block = block_at(next_++);
        if (enPartialSum && (blocks() != 1 || sums_.size() != uint64_t{block.rows} * block.columns)) {
            fail(Kind::argument,
                 "Matmul::Iterate adds to the block in L0C, which has to be the only block of the product (singleCoreM "
                 "== baseM, singleCoreN == baseN)");
        }
        compute(MatmulOrder(), block, enPartialSum);
        current_ = block;
        return true;
    }
    template <bool sync = true>
    void GetTensorC(const GlobalTensor<DstT>& gm, uint8_t enAtomic = 0, bool enSequentialWrite = false) {
        static_assert(sync, "Matmul::GetTensorC: the simulator has no asynchronous Iterate");
        write_out(MatmulOrder(), gm, current_, enAtomic, enSequentialWrite);
        wait_for_product(last_);
    }
    template <bool sync = true>
    void GetTensorC(const LocalTensor<DstT>& local, uint8_t enAtomic = 0, bool = false) {
        static_assert(sync, "Matmul::GetTensorC: the simulator has no asynchronous Iterate");
        static_assert(ON_910B<DstT> && C_TYPE::format == CubeFormat::ND,
                      "Matmul::GetTensorC: the simulator gives local results as ND on 910B only");
        require_plain(enAtomic);
        wait_for_product(last_);
        copy_to_local(local, sums_, current_, tiling().baseN);
    }

    // The whole product [singleCoreM, singleCoreN].
    template <bool sync = true>
    void IterateAll(const GlobalTensor<DstT>& gm, uint8_t enAtomic = 0, bool enSequentialWrite = false,
                    bool waitIterateAll = false, bool fakeMsg = false) {
        require_tiling("IterateAll");
        if (fakeMsg) {
            fail(Kind::argument, "Matmul::IterateAll: the simulator has no fake messages (IBShare)");
        }
        hold_cube(this);
        compute_all(gm, enAtomic, enSequentialWrite);
        bias_.reset();
        end_operands();
        if constexpr (sync) {
            wait_for_product(last_);
            return;
        }
        release_cube(this);
        if (waitIterateAll) {
            pending_.push_back(last_);
        }
    }
    void WaitIterateAll() {
        static_assert(ON_910B<DstT>, "Matmul::WaitIterateAll: this SoC has none; use IterateAll<true>");
        if (pending_.empty()) {
            fail(Kind::deadlock,
                 "WaitIterateAll waits for ever, because no IterateAll<false> with waitIterateAll = true is under way");
        }
        wait_for_product(pending_.front());
        pending_.erase(pending_.begin());
    }
    void End() {
        release_cube(this);
        next_ = 0;
        bias_.reset();
        end_operands();
    }

private:
    static constexpr MatmulTraits TRAITS{sizeof(SrcAT),   sizeof(SrcBT),   sizeof(DstT),          sizeof(BiasT),
                                         A_TYPE::isTrans, B_TYPE::isTrans, MM_CFG.doMultiDataLoad};

    template <class TYPE, typename Operand, typename Tensor>
    void set_operand(Operand& operand, const Tensor& tensor, bool transpose, const char* name) {
        if (transpose && !TYPE::isTrans) {
            fail(Kind::argument, "Matmul::SetTensor%s transposes, but its MatmulType's ISTRANS is false; set it", name);
        }
        operand.set(tensor, transpose);
        begin_operands();
    }

    void compute_all(const GlobalTensor<DstT>& gm, uint8_t atomic, bool sequential) {
        const MatmulOrder order;
        if (!sequential) {
            compute(order, whole(), false);
            write_out(order, gm, whole(), atomic, false);
            return;
        }
        for (uint32_t index = 0; index < blocks(); ++index) {
            compute(order, block_at(index), false);
            write_out(order, gm[uint64_t{index} * tiling().baseM * tiling().baseN], block_at(index), atomic, true);
        }
    }

    // The sums of a block, on the cube core.
    void compute(const MatmulOrder& order, const MatmulBlock& block, bool accumulate) {
        const CoreScope scope(order.cube());
        order.begin_reads();
        if constexpr (__NPU_ARCH__ != 2201) {
            use_workspace(workspace_, tiling(), TRAITS);
        }
        const MatmulShape shape{block.rows, block.columns, single().depth};
        Instruction reading("Matmul", Pipe::MTE2);
        left_.template read<A_TYPE::format>(reading, block.row, block.rows, shape.depth,
                                            {original().rows, original().left_depth},
                                            {single().rows, shape.depth}, true);
        right_.template read<B_TYPE::format>(reading, block.column, block.columns, shape.depth,
                                             {original().columns, original().right_depth},
                                             {single().columns, shape.depth}, false);
        left_.pack(left_values_, shape.rows, shape.depth);
        right_.pack(right_values_, shape.depth, shape.columns);
        const bool adds = start_sums(reading, block, accumulate);
        order.begin_multiply();
        const MatmulTraffic traffic = traffic_of(tiling(), TRAITS, shape);
        Instruction("Matmul", Pipe::M).counts_cube(traffic.multiply_adds, sizeof(SrcAT));
        count_traffic(traffic, uint64_t{shape.rows} * shape.depth * sizeof(SrcAT),
                      uint64_t{shape.columns} * shape.depth * sizeof(SrcBT));
        multiply(sums_.data(), block.columns, left_values_, right_values_, adds);
        last_ = order.finish();
    }

    // The bias in every row, if there is one; whether the product is added to what is in the sums.
    bool start_sums(Instruction& reading, const MatmulBlock& block, bool accumulate) {
        const size_t count = size_t{block.rows} * block.columns;
        if (sums_.size() != count) {
            sums_.assign(count, Accumulator{});
        }
        if (!bias_ || accumulate) {
            return accumulate;
        }
        reading.reads(bias_->span(block.column, block.columns));
        const auto* values = reinterpret_cast<const uint8_t*>(bias_->raw(block.column));
        for (size_t i = 0; i < count; ++i) {
            sums_[i] = static_cast<Accumulator>(load<BiasT>(values + i % block.columns * sizeof(BiasT)));
        }
        return true;
    }

    void write_out(const MatmulOrder& order, const GlobalTensor<DstT>& gm, const MatmulBlock& block, uint8_t atomic,
                   bool sequential) {
        const CoreScope scope(order.cube());
        order.begin_writes();
        Instruction writing("Matmul", order.out());
        const uint32_t columns = sequential ? static_cast<uint32_t>(tiling().baseN) : original().result_columns;
        write_result<C_TYPE::format>(writing, gm, sums_, block, {columns, sequential, atomic});
        last_ = order.finish();
    }

    MatmulOperand<SrcAT> left_;
    MatmulOperand<SrcBT> right_;
    std::optional<GlobalTensor<BiasT>> bias_;
    LocalTensor<uint8_t> workspace_;
    LeftMatrix<Accumulator> left_values_;
    RightMatrix<Accumulator> right_values_;
    std::vector<Accumulator> sums_;  // what L0C holds
    MatmulBlock current_{};          // of the newest Iterate
    uint32_t next_ = 0;
    Clock last_;                     // after the newest product
    std::vector<Clock> pending_;     // of asynchronous products that have to be waited for
};

inline void init_objects() {}
template <class Object>
void init_objects(Object&) {}
template <class Object, class... Rest>
void init_objects(Object& object, const TCubeTiling* tiling, Rest&&... rest) {
    object.Init(tiling);
    init_objects(rest...);
}

template <typename... Arguments>
bool register_matmuls(const void* workspace, Arguments&&... arguments) {
    if (serves_vector_cores(workspace, (static_cast<int>(sizeof...(Arguments)) + 1) / 2)) {
        return true;
    }
    init_objects(arguments...);
    return false;
}

}  // namespace coopdraw::sim

namespace AscendC {
using coopdraw::sim::Matmul;
}
namespace matmul {
using coopdraw::sim::Matmul;
}

// Objects and their tilings by turns; on the cube cores of a mixed kernel nothing after this line runs.
// asc-devkit:docs/zh/api/SIMD-API/高阶API/矩阵计算/Matmul-Kernel侧接口/REGIST_MATMUL_OBJ.md
#define REGIST_MATMUL_OBJ(tpipe, workspace, ...)                                                  \
    if (static_cast<void>(tpipe), ::coopdraw::sim::register_matmuls((workspace), __VA_ARGS__)) { \
        return;                                                                                   \
    }
