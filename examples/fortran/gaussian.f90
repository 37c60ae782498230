! Samples N(3, 0.5^2) in twelve evaluations; this program owns the loop.
program gaussian
  use driftless
  implicit none
  integer, parameter :: n = 4000
  character(*), parameter :: card = '{"format": "driftless-model/1", "process": "vp_linear", ' // &
      '"prediction_type": "epsilon", "sample": {"shape": [1]}}' // c_null_char
  type(c_ptr) :: model, plan, run, request
  real(c_double), target :: samples(n)
  real(c_double), pointer :: x(:), noise(:), a, b
  real(c_double) :: mean, deviation
  integer :: calls = 0

  call check(dfl_model_callback(card, c_null_funptr, c_null_ptr, model))
  call check(dfl_plan_new(model, 'solver=deis:order=2 steps=12' // c_null_char, plan))
  call check(dfl_run_new(plan, model, 'seed=1,batch=4000,dtype=float64' // c_null_char, run))
  call check(dfl_run_begin(run, 0_c_int64_t, int(n, c_size_t), c_null_ptr, c_null_ptr, &
                           c_loc(samples)))
  call check(dfl_run_next(run, request))
  do while (c_associated(request))
    call c_f_pointer(dfl_request_input(request), x, [dfl_request_count(request)])
    call c_f_pointer(dfl_request_output(request), noise, [dfl_request_count(request)])
    call c_f_pointer(dfl_request_a(request), a)
    call c_f_pointer(dfl_request_b(request), b)
    noise = b * (x - 3 * a) / (0.25d0 * a**2 + b**2) ! x = a x_0 + b n: the mean of n, given x
    calls = calls + 1
    call check(dfl_run_next(run, request))
  end do
  call dfl_run_free(run)
  call dfl_plan_free(plan)
  call dfl_model_free(model)

  mean = sum(samples) / n
  deviation = sqrt(sum((samples - mean)**2) / n)
  print '(a, f6.4, a, f6.4, a, i0, a)', 'mean ', mean, ', deviation ', deviation, ', ', calls, &
      ' calls'
  if (abs(mean - 3) > 0.04d0 .or. abs(deviation - 0.5d0) > 0.03d0) error stop 1
end program
