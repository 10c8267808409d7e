// The Matmul high-level API, computed in one go: values, limits, traffic and order are those of the device's API, its
// inner pipelining (L1, L0, double buffers) is taken to be right.
// asc-devkit:docs/zh/api/SIMD-API/高阶API/矩阵计算/Matmul-Kernel侧接口
#pragma once

#include <optional>
#include <vector>

#include "cube_gemm.h"
#include "matmul_operand.h"
#include "matmul_order.h"
#include "matmul_result.h"
#include "tensor.h"

namespace AscendC {

class TPipe;

template <class A_TYPE, class B_TYPE, class C_TYPE, class BIAS_TYPE = C_TYPE, const auto& MM_CFG = CFG_NORM,
          class MM_CB = MatmulCallBackFunc<nullptr, nullptr, nullptr>>
class Matmul {
    using SrcAT = typename A_TYPE::T;
    using SrcBT = typename B_TYPE::T;
    using DstT = typename C_TYPE::T;
    using BiasT = typename BIAS_TYPE::T;
    using Accumulator = std::conditional_t<std::is_same_v<SrcAT, int8_t>, int32_t, float>;

    static_assert(coopdraw::sim::is_product_type<DstT, SrcAT, SrcBT>(), "Matmul: the SoC (or the simulator) has no such types");
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
            coopdraw::sim::fail(coopdraw::sim::Kind::event, "the kernel ends with %zu asynchronous IterateAll that nothing "
                                "waited for; call WaitIterateAll once for each", pending_.size());
        }
    }

    void Init(const TCubeTiling* tiling, TPipe* = nullptr) {
        coopdraw::sim::check_tiling(*tiling, TRAITS);
        tiling_ = *tiling;
        single_ = {static_cast<uint32_t>(tiling->singleCoreM), static_cast<uint32_t>(tiling->singleCoreN),
                   static_cast<uint32_t>(tiling->singleCoreK)};
        set_original(tiling->M, tiling->N, tiling->Ka, tiling->Kb, 0);
        has_tiling_ = true;
        next_ = 0;
    }

    void SetOrgShape(int orgM, int orgN, int orgK) { SetOrgShape(orgM, orgN, orgK, orgK); }
    void SetOrgShape(int orgM, int orgN, int orgKa, int orgKb, int orgKc = 0) {
        if (operands_set_) {
            coopdraw::sim::fail(coopdraw::sim::Kind::argument, "Matmul::SetOrgShape comes after SetTensorA, SetTensorB or "
                                "SetBias of the same product; call it before them");
        }
        set_original(orgM, orgN, orgKa, orgKb, orgKc);
    }
    void SetSingleShape(int singleM, int singleN, int singleK) { SetTail(singleM, singleN, singleK); }
    void SetTail(int tailM = -1, int tailN = -1, int tailK = -1) {
        const auto set = [](uint32_t& value, int tail) {
            if (tail == 0 || tail < -1) {
                coopdraw::sim::fail(coopdraw::sim::Kind::argument, "Matmul::SetTail has %d, but needs a size above 0, or -1 to "
                                    "keep the tiling's", tail);
            }
            value = tail == -1 ? value : static_cast<uint32_t>(tail);
        };
        set(single_.rows, tailM);
        set(single_.columns, tailN);
        set(single_.depth, tailK);
    }

    void SetTensorA(const GlobalTensor<SrcAT>& gm, bool isTransposeA = false) {
        static_assert(A_TYPE::pos == TPosition::GM, "Matmul::SetTensorA: the type of A says that it is not in GM");
        left_.set(gm, checked<A_TYPE>("A", isTransposeA));
        operands_set_ = true;
    }
    void SetTensorA(const LocalTensor<SrcAT>& local, bool isTransposeA = false) {
        static_assert(A_TYPE::pos != TPosition::GM, "Matmul::SetTensorA: the type of A says that it is in GM");
        left_.set(local, checked<A_TYPE>("A", isTransposeA));
        operands_set_ = true;
    }
    void SetTensorB(const GlobalTensor<SrcBT>& gm, bool isTransposeB = false) {
        static_assert(B_TYPE::pos == TPosition::GM, "Matmul::SetTensorB: the type of B says that it is not in GM");
        right_.set(gm, checked<B_TYPE>("B", isTransposeB));
        operands_set_ = true;
    }
    void SetTensorB(const LocalTensor<SrcBT>& local, bool isTransposeB = false) {
        static_assert(B_TYPE::pos != TPosition::GM, "Matmul::SetTensorB: the type of B says that it is in GM");
        right_.set(local, checked<B_TYPE>("B", isTransposeB));
        operands_set_ = true;
    }
    void SetBias(const GlobalTensor<BiasT>& bias) {
        static_assert(BIAS_TYPE::pos == TPosition::GM, "Matmul::SetBias: the type of the bias says that it is not in GM");
        require_tiling("SetBias");
        if (tiling_.isBias == 0) {
            coopdraw::sim::fail(coopdraw::sim::Kind::argument, "Matmul::SetBias, but TCubeTiling.isBias is 0; enable the bias on "
                                "the host");
        }
        bias_ = bias;
        operands_set_ = true;
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
        coopdraw::sim::hold_cube(this);
        const coopdraw::sim::MatmulBlock block = block_at(next_++);
        if (enPartialSum && (blocks() != 1 || sums_.size() != uint64_t{block.rows} * block.columns)) {
            coopdraw::sim::fail(coopdraw::sim::Kind::argument, "Matmul::Iterate adds to the block in L0C, which has to be the "
                                "only block of the product (singleCoreM == baseM, singleCoreN == baseN)");
        }
        const coopdraw::sim::MatmulOrder order;
        compute(order, block, enPartialSum);
        current_ = block;
        return true;
    }
    template <bool sync = true>
    void GetTensorC(const GlobalTensor<DstT>& gm, uint8_t enAtomic = 0, bool enSequentialWrite = false) {
        static_assert(sync, "Matmul::GetTensorC: the simulator has no asynchronous Iterate");
        const coopdraw::sim::MatmulOrder order;
        write_out(order, gm, current_, enAtomic, enSequentialWrite);
        coopdraw::sim::wait_for_product(last_);
    }
    template <bool sync = true>
    void GetTensorC(const LocalTensor<DstT>& local, uint8_t enAtomic = 0, bool = false) {
        static_assert(sync, "Matmul::GetTensorC: the simulator has no asynchronous Iterate");
        static_assert(__NPU_ARCH__ == 2201 && C_TYPE::format == CubeFormat::ND,
                      "Matmul::GetTensorC: the simulator gives local results as ND on 910B only");
        coopdraw::sim::require_plain(enAtomic);
        coopdraw::sim::wait_for_product(last_);
        coopdraw::sim::copy_to_local(local, sums_, current_, tiling_.baseN);
    }

    // The whole product [singleCoreM, singleCoreN].
    template <bool sync = true>
    void IterateAll(const GlobalTensor<DstT>& gm, uint8_t enAtomic = 0, bool enSequentialWrite = false,
                    bool waitIterateAll = false, bool fakeMsg = false) {
        require_tiling("IterateAll");
        if (fakeMsg) {
            coopdraw::sim::fail(coopdraw::sim::Kind::argument, "Matmul::IterateAll: the simulator has no fake messages (IBShare)");
        }
        coopdraw::sim::hold_cube(this);
        const coopdraw::sim::MatmulOrder order;
        if (enSequentialWrite) {
            for (uint32_t index = 0; index < blocks(); ++index) {
                compute(order, block_at(index), false);
                write_out(order, gm[uint64_t{index} * tiling_.baseM * tiling_.baseN], block_at(index), enAtomic, true);
            }
        } else {
            const coopdraw::sim::MatmulBlock all{0, 0, single_.rows, single_.columns};
            compute(order, all, false);
            write_out(order, gm, all, enAtomic, false);
        }
        bias_.reset();
        operands_set_ = false;
        if constexpr (sync) {
            coopdraw::sim::wait_for_product(last_);
            return;
        }
        coopdraw::sim::release_cube(this);
        if (waitIterateAll) {
            pending_.push_back(last_);
        }
    }
    void WaitIterateAll() {
        static_assert(coopdraw::sim::ON_910B<DstT>, "Matmul::WaitIterateAll: this SoC has none; use IterateAll<true>");
        if (pending_.empty()) {
            coopdraw::sim::fail(coopdraw::sim::Kind::deadlock, "WaitIterateAll waits for ever, because no IterateAll<false> with "
                                "waitIterateAll = true is under way");
        }
        coopdraw::sim::wait_for_product(pending_.front());
        pending_.erase(pending_.begin());
    }
    void End() {
        coopdraw::sim::release_cube(this);
        next_ = 0;
        operands_set_ = false;
        bias_.reset();
    }

private:
    static constexpr coopdraw::sim::MatmulTraits TRAITS{
        sizeof(SrcAT), sizeof(SrcBT), sizeof(DstT), sizeof(BiasT), A_TYPE::isTrans, B_TYPE::isTrans,
        MM_CFG.doMultiDataLoad,
        __NPU_ARCH__ != 2201 && (C_TYPE::pos == TPosition::GM || A_TYPE::format == CubeFormat::ND ||
                                 B_TYPE::format == CubeFormat::ND)};

    void require_tiling(const char* api) const {
        if (!has_tiling_) {
            coopdraw::sim::fail(coopdraw::sim::Kind::argument, "Matmul::%s before the object has a tiling; pass it to "
                                "REGIST_MATMUL_OBJ or call Init", api);
        }
    }
    template <class TYPE>
    bool checked(const char* operand, bool transpose) const {
        if (transpose && !TYPE::isTrans) {
            coopdraw::sim::fail(coopdraw::sim::Kind::argument, "Matmul::SetTensor%s transposes, but ISTRANS of its MatmulType is "
                                "false; set it", operand);
        }
        return transpose;
    }
    void set_original(int rows, int columns, int left_depth, int right_depth, int result_columns) {
        original_ = {static_cast<uint32_t>(rows), static_cast<uint32_t>(columns), static_cast<uint32_t>(left_depth),
                     static_cast<uint32_t>(right_depth),
                     static_cast<uint32_t>(result_columns == 0 ? columns : result_columns)};
    }

    uint32_t row_blocks() const { return (single_.rows + tiling_.baseM - 1) / tiling_.baseM; }
    uint32_t column_blocks() const { return (single_.columns + tiling_.baseN - 1) / tiling_.baseN; }
    uint32_t blocks() const { return row_blocks() * column_blocks(); }
    coopdraw::sim::MatmulBlock block_at(uint32_t index) const {
        const bool rows_first = tiling_.iterateOrder == 0;
        const uint32_t row = (rows_first ? index % row_blocks() : index / column_blocks()) * tiling_.baseM;
        const uint32_t column = (rows_first ? index / row_blocks() : index % column_blocks()) * tiling_.baseN;
        return {row, column, std::min<uint32_t>(tiling_.baseM, single_.rows - row),
                std::min<uint32_t>(tiling_.baseN, single_.columns - column)};
    }

    // The sums of a block, on the cube core.
    void compute(const coopdraw::sim::MatmulOrder& order, const coopdraw::sim::MatmulBlock& block, bool accumulate) {
        using namespace coopdraw::sim;
        const CoreScope scope(order.cube());
        order.begin_reads();
        check_workspace(order);
        Instruction reading("Matmul", Pipe::MTE2);
        left_.template read<A_TYPE::format>(reading, block.row, block.rows, single_.depth, original_.rows,
                                            original_.left_depth, true);
        right_.template read<B_TYPE::format>(reading, block.column, block.columns, single_.depth, original_.columns,
                                             original_.right_depth, false);
        left_.pack(left_values_, block.rows, single_.depth);
        right_.pack(right_values_, single_.depth, block.columns);
        accumulate = fill_bias(reading, block, accumulate);
        order.begin_multiply();
        const MatmulShape shape{block.rows, block.columns, single_.depth};
        const MatmulTraffic traffic = traffic_of(tiling_, TRAITS, shape);
        Instruction("Matmul", Pipe::M).counts_cube(traffic.multiply_adds, sizeof(SrcAT));
        count_traffic(traffic, uint64_t{block.rows} * single_.depth * sizeof(SrcAT),
                      uint64_t{block.columns} * single_.depth * sizeof(SrcBT));
        multiply(sums_.data(), block.columns, left_values_, right_values_, accumulate);
        last_ = order.finish();
    }
    bool fill_bias(coopdraw::sim::Instruction& reading, const coopdraw::sim::MatmulBlock& block, bool accumulate) {
        const size_t count = size_t{block.rows} * block.columns;
        if (sums_.size() != count) {
            sums_.assign(count, Accumulator{});
        }
        if (!bias_ || accumulate) {
            return accumulate;
        }
        reading.reads(bias_->span(block.column, block.columns));
        for (uint32_t row = 0; row < block.rows; ++row) {
            for (uint32_t column = 0; column < block.columns; ++column) {
                sums_[size_t{row} * block.columns + column] = static_cast<Accumulator>(
                    coopdraw::sim::load<BiasT>(reinterpret_cast<const uint8_t*>(bias_->raw(block.column + column))));
            }
        }
        return true;
    }
    void check_workspace(const coopdraw::sim::MatmulOrder&) const {
        if constexpr (TRAITS.needs_workspace) {
            coopdraw::sim::use_workspace(workspace_, tiling_, TRAITS, A_TYPE::format == CubeFormat::ND,
                                         B_TYPE::format == CubeFormat::ND);
        }
    }
    void write_out(const coopdraw::sim::MatmulOrder& order, const GlobalTensor<DstT>& gm,
                   const coopdraw::sim::MatmulBlock& block, uint8_t atomic, bool sequential) {
        const coopdraw::sim::CoreScope scope(order.cube());
        order.begin_writes();
        coopdraw::sim::Instruction writing("Matmul", order.out());
        coopdraw::sim::write_result<C_TYPE::format>(writing, gm, sums_, block, atomic,
                                                    sequential ? static_cast<uint32_t>(tiling_.baseN) : original_.result_columns,
                                                    sequential);
        last_ = order.finish();
    }

    TCubeTiling tiling_{};
    bool has_tiling_ = false;
    bool operands_set_ = false;
    coopdraw::sim::MatmulShape single_{};
    coopdraw::sim::MatmulOriginal original_{};
    coopdraw::sim::MatmulOperand<SrcAT> left_;
    coopdraw::sim::MatmulOperand<SrcBT> right_;
    std::optional<GlobalTensor<BiasT>> bias_;
    LocalTensor<uint8_t> workspace_;
    coopdraw::sim::LeftMatrix<Accumulator> left_values_;
    coopdraw::sim::RightMatrix<Accumulator> right_values_;
    std::vector<Accumulator> sums_;  // what L0C holds
    coopdraw::sim::MatmulBlock current_{};
    uint32_t next_ = 0;
    coopdraw::sim::Clock last_;
    std::vector<coopdraw::sim::Clock> pending_;
};

}  // namespace AscendC

namespace matmul {
using AscendC::Matmul;
}

namespace coopdraw::sim {

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

// Objects and their tilings by turns; on the cube cores of a mixed kernel nothing after this line runs.
// asc-devkit:docs/zh/api/SIMD-API/高阶API/矩阵计算/Matmul-Kernel侧接口/REGIST_MATMUL_OBJ.md
#define REGIST_MATMUL_OBJ(tpipe, workspace, ...)                                                  \
    if (static_cast<void>(tpipe), ::coopdraw::sim::register_matmuls((workspace), __VA_ARGS__)) { \
        return;                                                                                   \
    }
