//! One test for several MPMs and modes.

/// Makes a test for each combination of MPM and mode out of one function that takes `(Mpm, Mode)`: `matrix!(name)` for all
/// six, `matrix!(name: event worker)` for some MPMs in both modes, `matrix!(name: event / daemon)` for some modes.
/// The tests are called `name::event_embedded` and so on.
#[macro_export]
macro_rules! matrix {
    ($name:ident) => { $crate::matrix!($name: event worker prefork / embedded daemon); };
    ($name:ident: $($mpm:ident)+) => { $crate::matrix!($name: $($mpm)+ / embedded daemon); };
    ($name:ident: $($mpm:ident)+ / $mode:ident) => {
        mod $name {
            $($crate::matrix!(@mode $name $mpm $mode);)+
        }
    };
    ($name:ident: $($mpm:ident)+ / embedded daemon) => {
        mod $name {
            $($crate::matrix!(@mode $name $mpm embedded);)+
            $($crate::matrix!(@mode $name $mpm daemon);)+
        }
    };
    (@mode $name:ident event embedded) => { $crate::matrix!(@test $name event_embedded Event Embedded); };
    (@mode $name:ident event daemon) => { $crate::matrix!(@test $name event_daemon Event Daemon); };
    (@mode $name:ident worker embedded) => { $crate::matrix!(@test $name worker_embedded Worker Embedded); };
    (@mode $name:ident worker daemon) => { $crate::matrix!(@test $name worker_daemon Worker Daemon); };
    (@mode $name:ident prefork embedded) => { $crate::matrix!(@test $name prefork_embedded Prefork Embedded); };
    (@mode $name:ident prefork daemon) => { $crate::matrix!(@test $name prefork_daemon Prefork Daemon); };
    (@test $name:ident $test:ident $mpm:ident $mode:ident) => {
        #[test]
        fn $test() {
            super::$name($crate::Mpm::$mpm, $crate::Mode::$mode);
        }
    };
}
