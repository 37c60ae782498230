! The calls of libdriftless that a program with a loop of its own needs. driftless.h documents them.
! Text is passed with a trailing c_null_char; labels and start states left out are c_null_ptr.
module driftless
  use, intrinsic :: iso_c_binding
  implicit none

  interface
    integer(c_int) function dfl_model_callback(card, fn, user, model) bind(c)
      import
      character(kind=c_char), intent(in) :: card(*)
      type(c_funptr), value :: fn ! c_null_funptr: a card for loops like this one
      type(c_ptr), value :: user
      type(c_ptr), intent(out) :: model
    end function

    integer(c_int) function dfl_plan_new(model, spec, plan) bind(c)
      import
      type(c_ptr), value :: model
      character(kind=c_char), intent(in) :: spec(*)
      type(c_ptr), intent(out) :: plan
    end function

    integer(c_int) function dfl_run_new(plan, model, options, run) bind(c)
      import
      type(c_ptr), value :: plan, model
      character(kind=c_char), intent(in) :: options(*)
      type(c_ptr), intent(out) :: run
    end function

    integer(c_int) function dfl_run_begin(run, first, count, labels, start, samples) bind(c)
      import
      type(c_ptr), value :: run, labels, start, samples
      integer(c_int64_t), value :: first
      integer(c_size_t), value :: count
    end function

    integer(c_int) function dfl_run_next(run, request) bind(c)
      import
      type(c_ptr), value :: run
      type(c_ptr), intent(out) :: request ! c_null_ptr: all samples are there
    end function

    integer(c_size_t) function dfl_request_count(request) bind(c)
      import
      type(c_ptr), value :: request
    end function

    ! The four below are addresses: c_f_pointer makes arrays of them.
    type(c_ptr) function dfl_request_input(request) bind(c)
      import
      type(c_ptr), value :: request
    end function

    type(c_ptr) function dfl_request_output(request) bind(c)
      import
      type(c_ptr), value :: request
    end function

    type(c_ptr) function dfl_request_a(request) bind(c)
      import
      type(c_ptr), value :: request
    end function

    type(c_ptr) function dfl_request_b(request) bind(c)
      import
      type(c_ptr), value :: request
    end function

    subroutine dfl_run_free(run) bind(c)
      import
      type(c_ptr), value :: run
    end subroutine

    subroutine dfl_plan_free(plan) bind(c)
      import
      type(c_ptr), value :: plan
    end subroutine

    subroutine dfl_model_free(model) bind(c)
      import
      type(c_ptr), value :: model
    end subroutine

    type(c_ptr) function dfl_last_message() bind(c)
      import
    end function
  end interface
contains
  ! Ends the program with the library's sentence if a call failed.
  subroutine check(status)
    integer(c_int), intent(in) :: status
    character(kind=c_char), pointer :: message(:)
    integer :: n
    if (status == 0) return
    call c_f_pointer(dfl_last_message(), message, [2048])
    n = 1
    do while (message(n) /= c_null_char)
      n = n + 1
    end do
    print '(2048a1)', message(:n - 1)
    error stop 1
  end subroutine
end module
